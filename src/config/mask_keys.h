// The keys whose values are files that say which keys take part. Internal to config/.
#pragma once

#include "config/keys.h"

namespace attnbench::config {

extern const char* const kLengthFiles;  ///< What `key-lengths` accepts,
extern const char* const kMaskFiles;    ///< and `mask`.

/// Reads the files of `key-lengths` into the draft; `none` stands for every key.
Status apply_key_lengths(const KeyRule& rule, const Setting& setting, Draft& draft);

/// Reads the files of `mask` into the draft; `none` stands for no mask.
Status apply_mask(const KeyRule& rule, const Setting& setting, Draft& draft);

}  // namespace attnbench::config
