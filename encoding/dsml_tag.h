// One tag of a tool-call block as models write it, which is not always as they were taught to.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ft::encoding {

// Whether something stands at the beginning of a text that may still grow.
enum class TagMatch {
  kNone,
  kTorn,  // as far as the text goes it may be
  kFound,
};

struct DsmlTag {
  enum class Kind { kBlock, kInvoke, kParameter, kOther };
  Kind kind = Kind::kOther;
  bool closing = false;
  bool exact = false;  // the name is spelled as the format spells it
  bool plain = false;  // without the bars: "<parameter"
  size_t length = 0;   // bytes through the name
};

// The tag at the beginning of `text`: '<', optionally '/', DSML between bars ("｜" or "|", one or two of them on
// each side), and a name. A name counts by how it begins ("param", "inv") or, for the block, by "call" in it.
// `plain`: also the format's names without the bars. `ended`: no more text follows.
TagMatch read_tag(std::string_view text, bool plain, bool ended, DsmlTag& tag);

// What stands between the name of an opening tag and its '>'.
struct TagHead {
  std::optional<std::string> name;
  std::optional<std::string> string;  // the attribute of that name, in lower case
  bool self_closing = false;
  bool attributes = false;  // has any
  size_t length = 0;        // bytes through the '>'
};

// The head at the beginning of `text`. Values stand in double or single quotes or in none. A quote ends a value
// only before '>', "/>" or another attribute, so a value may hold quotes. kNone if it is no list of attributes,
// runs into other markup or is longer than a few kilobytes.
TagMatch read_head(std::string_view text, TagHead& head);

// Offset of the first byte at or after `at` that is no ASCII white space, or at + kMaxSpace: more space than that
// does not belong to markup.
inline constexpr size_t kMaxSpace = 256;
size_t skip_space(std::string_view text, size_t at);

// Behind a tag that ends at `at`: past its '>', and white space before that, where there is one.
size_t past_close(std::string_view text, size_t at);

}  // namespace ft::encoding
