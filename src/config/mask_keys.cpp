#include "config/mask_keys.h"

#include <algorithm>

#include "config/grammar.h"

namespace attnbench::config {
namespace {

/// The files of a list, each as it is written; commas separate them outside of arrays.
Result<std::vector<Element>> file_names(const KeyRule& rule, const Setting& setting) {
  if (setting.elements.empty()) return rejected(setting.what, "an empty array", rule.accepted);
  std::vector<Element> result;
  for (const Element& element : setting.elements) {
    const auto refuse = [&] { return rejected(element.what, element.given(), rule.accepted); };
    if (element.kind != Element::Kind::text) return refuse();
    const auto parts = setting.is_array ? std::vector<TextPart>{{trimmed(element.text)}}
                                        : comma_parts(element.text);
    for (const TextPart& part : parts) {
      Element file = element;
      file.text = part.text;
      if (file.text.empty()) return refuse();
      result.push_back(std::move(file));
    }
  }
  return result;
}

/// One choice per file, in the order given, without repeats. `load(path, choice)` fills in the
/// content.
template <class Choice, class Load>
Status read_choices(const KeyRule& rule, const Setting& setting, std::vector<Choice>& to,
                    Load load) {
  const auto files = file_names(rule, setting);
  if (!files) return files.error();
  std::vector<Choice> choices;
  for (const Element& file : *files) {
    Choice choice;
    if (file.text != "none") {
      choice.path = file.text;
      const Status status = load(file.text, choice);
      if (!status) return io_error(file.what + ": " + status.error().message);
    }
    if (std::ranges::find(choices, choice) == choices.end()) choices.push_back(std::move(choice));
  }
  to = std::move(choices);
  return ok_status();
}

}  // namespace

const char* const kLengthFiles = ".npy files and none (comma separated)";
const char* const kMaskFiles =
    ".npy files, FILE:SIZE where an entry stands for SIZE x SIZE pairs, and none (comma separated)";

Status apply_key_lengths(const KeyRule& rule, const Setting& setting, Draft& draft) {
  return read_choices(rule, setting, draft.config.key_lengths,
                      [](const std::string& path, KeyLengthsChoice& choice) -> Status {
                        auto lengths = load_key_lengths(path);
                        if (!lengths) return lengths.error();
                        choice.lengths = std::move(*lengths);
                        return ok_status();
                      });
}

Status apply_mask(const KeyRule& rule, const Setting& setting, Draft& draft) {
  return read_choices(rule, setting, draft.config.mask,
                      [](const std::string& path, MaskChoice& choice) -> Status {
                        auto mask = load_mask(path);
                        if (!mask) return mask.error();
                        choice.mask = std::move(*mask);
                        return ok_status();
                      });
}

}  // namespace attnbench::config
