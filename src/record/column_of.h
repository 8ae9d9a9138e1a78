// Builds a Column from a pointer to the member that holds its values.
#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "record/schema.h"

namespace attnbench::columns_detail {

template <class T>
struct CellTraits;
template <>
struct CellTraits<std::string> {
  static constexpr CellType type = CellType::text;
};
template <>
struct CellTraits<bool> {
  static constexpr CellType type = CellType::boolean;
};
template <>
struct CellTraits<int> {
  static constexpr CellType type = CellType::integer;
};
template <>
struct CellTraits<std::int64_t> {
  static constexpr CellType type = CellType::integer;
};
template <>
struct CellTraits<std::uint64_t> {
  static constexpr CellType type = CellType::natural;
};
template <>
struct CellTraits<double> {
  static constexpr CellType type = CellType::real;
};
template <class T>
struct CellTraits<std::optional<T>> : CellTraits<T> {};

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

inline CellValue to_value(const std::string& v) {
  return v.empty() ? CellValue{} : CellValue{std::in_place_type<std::string>, v};
}
inline CellValue to_value(bool v) { return v; }
inline CellValue to_value(int v) { return static_cast<std::int64_t>(v); }
inline CellValue to_value(std::int64_t v) { return v; }
inline CellValue to_value(std::uint64_t v) { return v; }
inline CellValue to_value(double v) { return v; }
template <class T>
CellValue to_value(const std::optional<T>& v) {
  return v ? to_value(*v) : CellValue{};
}

template <class T>
void from_value(T& field, CellValue&& value) {
  if (std::holds_alternative<std::monostate>(value)) {
    field = T{};
  } else if constexpr (std::is_same_v<T, int>) {
    field = static_cast<int>(std::get<std::int64_t>(value));
  } else if constexpr (IsOptional<T>::value) {
    field = std::get<typename T::value_type>(value);
  } else {
    field = std::get<T>(std::move(value));
  }
}

template <class M>
struct MemberOf;
template <class Owner, class Field>
struct MemberOf<Field Owner::*> {
  using owner = Owner;
  using field = Field;
};

/// The member itself, or that of a record's axes.
template <auto Member, class Row>
auto& field_of(Row& row) {
  if constexpr (std::is_same_v<typename MemberOf<decltype(Member)>::owner, CaseAxes>) {
    return row.axes.*Member;
  } else {
    return row.*Member;
  }
}

template <auto Member, class Row>
CellValue get_field(const Row& row) {
  return to_value(field_of<Member>(row));
}

template <auto Member, class Row>
Status set_field(Row& row, CellValue&& value) {
  from_value(field_of<Member>(row), std::move(value));
  return ok_status();
}

/// A column whose values are the member `Member` of Row (or of Record::axes). Numbers that are not
/// optional must be present.
template <class Row, auto Member>
Column<Row> column_of(std::string_view name, std::string_view unit, std::string_view definition) {
  using Field = typename MemberOf<decltype(Member)>::field;
  Column<Row> column;
  column.name = name;
  column.unit = unit;
  column.definition = definition;
  column.type = CellTraits<Field>::type;
  column.may_be_empty = IsOptional<Field>::value || column.type == CellType::text;
  if constexpr (std::is_same_v<Field, int>) column.maximum = std::numeric_limits<int>::max();
  column.get = &get_field<Member, Row>;
  column.set = &set_field<Member, Row>;
  return column;
}

/// The same, from `minimum` on.
template <class Row, auto Member>
Column<Row> column_from(double minimum, std::string_view name, std::string_view unit,
                        std::string_view definition) {
  Column<Row> column = column_of<Row, Member>(name, unit, definition);
  column.minimum = minimum;
  return column;
}

}  // namespace attnbench::columns_detail
