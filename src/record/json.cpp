#include "record/json.h"

#include <fmt/format.h>

#include <cmath>

#include "record/json_text.h"
#include "record/schema.h"

namespace attnbench {
namespace {

OrderedJson to_json_value(const ColumnFacts& column, const CellValue& value) {
  switch (value.index()) {
    case 0:
      return nullptr;
    case 1:
      return std::get<bool>(value);
    case 2:
      return std::get<std::int64_t>(value);
    case 3:
      return std::get<std::uint64_t>(value);
    case 4: {
      const double real = std::get<double>(value);
      if (std::isfinite(real)) return real;
      return column.may_be_infinite && real > 0 ? OrderedJson("inf") : OrderedJson(nullptr);
    }
    default:
      return std::get<std::string>(value);
  }
}

/// The value in the type that the column has; a value of any other type is left for check_cell to
/// refuse.
CellValue from_json_value(const ColumnFacts& column, const OrderedJson& json) {
  if (json.is_null()) return {};
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_string()) {
    const auto& text = json.get_ref<const std::string&>();
    if (column.type == CellType::text) return text;
    if (column.may_be_infinite && text == "inf") return HUGE_VAL;
    return text;
  }
  if (!json.is_number()) return json.dump();
  if (column.type == CellType::real) return json.get<double>();
  if (json.is_number_unsigned()) {
    const auto number = json.get<std::uint64_t>();
    if (column.type == CellType::natural) return number;
    if (number <= INT64_MAX) return static_cast<std::int64_t>(number);
  } else if (json.is_number_integer()) {
    return json.get<std::int64_t>();
  }
  return json.get<double>();
}

/// check_cell, and text only in text columns, numbers only in theirs.
Status check_typed(const ColumnFacts& column, const CellValue& value, const OrderedJson& json) {
  if (Status fits = check_cell(column, value); fits) return fits;
  return io_error(fmt::format("key {}: {} is not accepted; expected {}", column.name, json.dump(),
                              column.accepted()));
}

Result<Record> record_from_json(const OrderedJson& object) {
  Record record;
  for (const auto& column : columns<Record>()) {
    const auto found = object.find(std::string(column.name));
    const OrderedJson json = found == object.end() ? OrderedJson(nullptr) : *found;
    CellValue value = from_json_value(column, json);
    if (Status fits = check_typed(column, value, json); !fits) return fits.error();
    if (Status set = column.set(record, std::move(value)); !set) {
      return io_error(fmt::format("key {}: {} is not accepted; {}", column.name, json.dump(),
                                  set.error().message));
    }
  }
  return record;
}

}  // namespace

std::string dump_json(const OrderedJson& json) {
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

Result<OrderedJson> parse_json(std::string_view text, const std::string& source) {
  try {
    return OrderedJson::parse(text);
  } catch (const OrderedJson::exception& error) {
    std::string what = error.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    if (const auto end = what.find("] "); end != std::string::npos) what.erase(0, end + 2);
    return io_error(fmt::format("{}: not valid JSON: {}", source, what));
  }
}

std::string records_to_json(std::span<const Record> records) {
  OrderedJson array = OrderedJson::array();
  for (const Record& record : records) {
    OrderedJson object = OrderedJson::object();
    for (const auto& column : columns<Record>()) {
      object[std::string(column.name)] = to_json_value(column, column.get(record));
    }
    array.push_back(std::move(object));
  }
  return dump_json(array);
}

Result<std::vector<Record>> records_from_json(std::string_view text, const std::string& source) {
  Result<OrderedJson> json = parse_json(text, source);
  if (!json) return json.error();
  if (!json->is_array()) return io_error(source + ": expected an array of objects");
  std::vector<Record> records;
  for (const OrderedJson& object : *json) {
    const std::string where = fmt::format("{}: record {}: ", source, records.size() + 1);
    if (!object.is_object()) return io_error(where + "expected an object");
    Result<Record> record = record_from_json(object);
    if (!record) return io_error(where + record.error().message);
    records.push_back(std::move(*record));
  }
  return records;
}

}  // namespace attnbench
