// The keys of what is done to rows and logits beside their product. Internal to config/.
#pragma once

#include "config/keys.h"

namespace attnbench::config {

extern const char* const kPositionGrammar;   ///< What `position` accepts.
extern const char* const kRopePairsGrammar;  ///< What `rope-pairs` accepts.
extern const char* const kRopeBaseGrammar;   ///< What `rope-base` accepts.
extern const char* const kSoftcapGrammar;    ///< What `softcap` accepts.

Status apply_position(const KeyRule& rule, const Setting& setting, Draft& draft);
Status apply_rope_pairs(const KeyRule& rule, const Setting& setting, Draft& draft);
Status apply_rope_base(const KeyRule& rule, const Setting& setting, Draft& draft);
Status apply_softcap(const KeyRule& rule, const Setting& setting, Draft& draft);
Status apply_sink(const KeyRule& rule, const Setting& setting, Draft& draft);

}  // namespace attnbench::config
