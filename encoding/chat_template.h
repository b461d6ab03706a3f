// Chat messages to prompt text: the dsv4 encoder, with the parts of the text that came from the client
// marked.
//
// Source: encoding.md sections 1-7 and 9. There is no Jinja template for this model; this is the
// template.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "encoding/chat_profile.h"
#include "encoding/error.h"
#include "encoding/ordered_json.h"
#include "encoding/tokenizer.h"

namespace ft::encoding {

struct ChatOptions {
  std::string thinking_mode = "chat";  // "chat" or "thinking"; checked when a message is rendered
  bool drop_thinking = true;           // leave out reasoning before the last user message (unless tools)
  bool add_default_bos_token = true;   // only without context
  std::optional<std::string> reasoning_effort;  // a level of the profile
  Json context = Json::array();  // messages encoded earlier: they influence rules, and are not rendered
  const Profile* profile = &kPreview;
  // Rendering stops when the text gets longer: kTooLong. Markup can make a prompt many times as long as the
  // messages, so a caller with a limit of tokens gives that many longest tokens here.
  size_t max_bytes = std::numeric_limits<size_t>::max();
};

struct Prompt {
  std::string text;
  // Bytes of `text` that came from the client (contents, names, arguments, schemas): ascending, disjoint,
  // non-empty. To be passed to Tokenizer::encode, so that they cannot become special tokens.
  std::vector<ByteRange> client;
};

// Renders `messages`, an array of message objects {role, content, tools, tool_calls, tool_call_id,
// reasoning_content, response_format, task, wo_eos}. Text goes in byte for byte. Errors carry the kind of the
// reference's exception (AssertionError, KeyError, TypeError, AttributeError, NotImplementedError); where the
// reference would print a Python container (a list or object as system content, for instance), TypeError;
// kUnpairedSurrogate for arguments that hold one;
// kTooLong.
EncodingResult<Prompt> encode_chat(const Json& messages, const ChatOptions& options);

// Whether the tokenizer has every control token that a chat needs (BOS, EOS, <｜User｜>, <｜Assistant｜>,
// <think>, </think>, ｜DSML｜) as one token; kInvalidFile naming the first that it lacks.
EncodingResult<void> check_chat_tokens(const Tokenizer& tokenizer);

}  // namespace ft::encoding
