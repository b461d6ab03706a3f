#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "encoding/chat_template.h"
#include "encoding/tokenizer.h"
#include "tests/fuzz/fuzz_targets.h"

namespace ft::fuzz {
namespace {

using namespace ft::encoding;

// Byte-level BPE; its text comes back exactly.
const Tokenizer& bpe() {
  static const auto tokenizer = load_tokenizer(FT_TEST_DATA "/tokenizer/tiny.json");
  FT_CHECK(tokenizer.has_value());
  return **tokenizer;
}

// The one of the embedded models, which marks every control token as special.
const Tokenizer& sentencepiece() {
  static const auto tokenizer = load_tokenizer(FT_MODELS "/v4-nano/tokenizer.model");
  FT_CHECK(tokenizer.has_value());
  return **tokenizer;
}

std::vector<TokenId> control_tokens(const Tokenizer& tokenizer, const std::string& text,
                                    std::span<const ByteRange> client) {
  std::vector<TokenId> ids = tokenizer.encode(text, client);
  std::erase_if(ids, [&](TokenId id) { return !tokenizer.is_special(id); });
  return ids;
}

void check(const Prompt& prompt) {
  std::string harmless = prompt.text;  // with the client's bytes replaced
  size_t at = 0;
  for (const ByteRange& range : prompt.client) {
    FT_CHECK(at <= range.begin && range.begin < range.end && range.end <= prompt.text.size());
    std::fill_n(harmless.begin() + static_cast<std::ptrdiff_t>(range.begin), range.end - range.begin, 'x');
    at = range.end;
  }
  FT_CHECK(control_tokens(sentencepiece(), prompt.text, prompt.client) ==
               control_tokens(sentencepiece(), harmless, prompt.client),
           prompt.text);
  const auto back = bpe().decode(bpe().encode(prompt.text, prompt.client));
  FT_CHECK(back && *back == prompt.text, prompt.text);
}

}  // namespace

void encoder(std::span<const uint8_t> input) {
  const auto json = Json::parse({reinterpret_cast<const char*>(input.data()), input.size()});
  if (!json) return;
  const auto messages = read_chat_messages(*json);
  if (!messages) return;
  for (const bool thinking : {false, true}) {
    for (const Profile* profile : {&kPreview, &kFlash0731}) {
      ChatOptions options;
      options.thinking = thinking;
      options.profile = profile;
      options.max_bytes = size_t{1} << 20;
      if (const auto prompt = encode_chat(*messages, options)) check(*prompt);
    }
  }
}

}  // namespace ft::fuzz
