// JSON of records and manifests. Absent values are null, numbers are numbers, keys are the column
// names of summary.csv and the keys of docs/csv_schema.md.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attention/result.h"
#include "record/manifest.h"
#include "record/record.h"

namespace attnbench {

/// An array of one object per record, keys in column order. An infinite error figure is the string
/// "inf".
std::string records_to_json(std::span<const Record> records);
/// The inverse; `source` names the text in error messages. Unknown keys are ignored, a missing one
/// counts as null.
Result<std::vector<Record>> records_from_json(std::string_view text, const std::string& source);

/// The text of manifest.json.
std::string manifest_to_json(const Manifest& manifest);
/// The inverse. run_id, config and seed are required; errors name the source and the key.
Result<Manifest> manifest_from_json(std::string_view text, const std::string& source);
/// Reads a manifest.json.
Result<Manifest> read_manifest(const std::string& path);

}  // namespace attnbench
