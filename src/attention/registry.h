// The table of variants. Files in variants/ and plugins add themselves; nothing else lists them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "attention/result.h"
#include "attention/variant.h"

namespace attnbench {

class Registry {
 public:
  /// The registry that ATTNBENCH_REGISTER_VARIANT fills before main().
  static Registry& instance();

  /// Takes a variant. A second one of the same name is refused, and remembered in errors().
  void add(std::unique_ptr<Variant> variant);
  /// Null when there is none of that name.
  const Variant* find(const std::string& name) const;
  /// Sorted by name.
  std::vector<const Variant*> all() const;
  std::vector<std::string> names() const;
  std::vector<std::string> families() const;
  /// Refused registrations; a build with any is broken, and cli/ says so at start.
  const std::vector<std::string>& errors() const { return errors_; }

  /// Expands "all", "family:NAME", names, and comma-separated lists of these; keeps the order
  /// given, without repeats. Unknown words are usage errors that suggest the nearest name.
  Result<std::vector<const Variant*>> select(const std::string& text) const;

 private:
  std::vector<std::unique_ptr<Variant>> variants_;
  std::vector<std::string> errors_;
};

struct VariantRegistrar {
  explicit VariantRegistrar(std::unique_ptr<Variant> variant) {
    Registry::instance().add(std::move(variant));
  }
};

}  // namespace attnbench

#define ATTNBENCH_JOIN2(a, b) a##b
#define ATTNBENCH_JOIN(a, b) ATTNBENCH_JOIN2(a, b)

/// At namespace scope of a file in variants/: registers a default-constructed `type`.
#define ATTNBENCH_REGISTER_VARIANT(type)                                                  \
  namespace {                                                                             \
  const ::attnbench::VariantRegistrar ATTNBENCH_JOIN(attnbench_registrar_,                \
                                                     __LINE__){std::make_unique<type>()}; \
  }
