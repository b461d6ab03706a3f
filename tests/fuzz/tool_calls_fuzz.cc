#include <algorithm>
#include <string>
#include <string_view>

#include "core/check.h"
#include "encoding/completion_parser.h"
#include "encoding/utf8.h"
#include "tests/fuzz/fuzz_targets.h"

namespace ft::fuzz {
namespace {

using namespace ft::encoding;

// The turn read in pieces of `bytes`, or as many more as a character needs.
AssistantMessage read(std::string_view text, const ParserOptions& options, TextEnd end, size_t bytes) {
  CompletionParser parser(options);
  MessageBuilder builder;
  const auto add = [&](const std::vector<ParserEvent>& events) {
    for (const ParserEvent& event : events) builder.add(event);
  };
  while (!text.empty()) {
    size_t cut = std::min(bytes, text.size());
    while (cut < text.size() && (static_cast<unsigned char>(text[cut]) & 0xC0U) == 0x80U) ++cut;
    add(parser.feed(text.substr(0, cut)));
    text.remove_prefix(cut);
  }
  add(parser.finish(end));
  return builder.message();
}

}  // namespace

void tool_calls(std::span<const uint8_t> input) {
  if (input.empty()) return;
  ParserOptions options;
  options.thinking = (input[0] & 1U) != 0;
  options.tools_offered = (input[0] & 2U) == 0;
  options.eos_in_text = (input[0] & 4U) != 0;
  const TextEnd end = (input[0] & 8U) != 0 ? TextEnd::kCut : TextEnd::kEos;
  const std::string text = replace_ill_formed(
      std::string_view(reinterpret_cast<const char*>(input.data()), input.size()).substr(1));

  const AssistantMessage whole = read(text, options, end, text.size() + 1);
  for (const size_t bytes : {1U, 2U, 7U, 33U})
    FT_CHECK(read(text, options, end, bytes) == whole, "pieces of", bytes, text);
  if (!options.tools_offered) FT_CHECK(whole.tool_calls.empty(), text);
  if (!options.thinking) FT_CHECK(whole.reasoning_content.empty(), text);
  for (const ToolCall& call : whole.tool_calls) {
    const auto arguments = Json::parse(call.arguments);
    FT_CHECK(arguments && arguments->is_object(), call.arguments, text);
  }
}

}  // namespace ft::fuzz
