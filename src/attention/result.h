// One error type for everything below cli/: library code returns errors as values, only cli/ turns
// them into words on a terminal and exit codes.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace attnbench {

/// What went wrong, in a form that cli/ can map to an exit code.
struct Error {
  enum class Kind {
    usage,          ///< A flag, parameter or configuration value that is not accepted.
    unsupported,    ///< A well-formed request that this variant does not define.
    io,             ///< A file that cannot be read, written or understood.
    out_of_memory,  ///< An allocation that failed or would not fit.
    internal,       ///< A broken promise of ours; always a bug.
  };
  Kind kind = Kind::internal;
  std::string message;  ///< One line: what was given, what is accepted, and where.
};

/// Either a value or an Error. Test it (`if (!r)`) before reading the value.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  explicit operator bool() const { return std::holds_alternative<T>(state_); }
  T& value() & { return std::get<T>(state_); }
  const T& value() const& { return std::get<T>(state_); }
  T&& value() && { return std::get<T>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const { return std::get<Error>(state_); }

 private:
  std::variant<T, Error> state_;
};

/// Success without a value, or an Error.
using Status = Result<std::monostate>;
inline Status ok_status() { return Status(std::monostate{}); }

inline Error usage_error(std::string message) {
  return Error{Error::Kind::usage, std::move(message)};
}
inline Error unsupported_error(std::string message) {
  return Error{Error::Kind::unsupported, std::move(message)};
}
inline Error io_error(std::string message) { return Error{Error::Kind::io, std::move(message)}; }

}  // namespace attnbench
