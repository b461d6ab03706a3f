#include <string_view>

#include "core/check.h"
#include "encoding/bpe_tokenizer.h"
#include "encoding/ordered_json.h"
#include "tests/fuzz/fuzz_targets.h"

namespace ft::fuzz {

void tokenizer_json(std::span<const uint8_t> input) {
  using namespace ft::encoding;
  const auto json = Json::parse({reinterpret_cast<const char*>(input.data()), input.size()});
  if (!json) return;
  const auto tokenizer = BpeTokenizer::from_json(*json);
  if (!tokenizer) {
    FT_CHECK(!tokenizer.error().message.empty());
    return;
  }
  // Letters, digits, signs, spaces and other scripts; the last two texts hold a control string.
  for (const std::string_view text :
       {"", "abc ab  hello, world!\n\n 1234567", "\xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x98\x80 ",
        "<think>a</think>", "<\xEF\xBD\x9CUser\xEF\xBD\x9C>hi"}) {
    const auto ids = (*tokenizer)->encode(text);
    const auto back = (*tokenizer)->decode(ids);
    FT_CHECK(back && *back == text, text);
  }
}

}  // namespace ft::fuzz
