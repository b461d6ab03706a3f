// Chat messages to prompt text: the dsv4 encoder, with the parts of the text that came from the client
// marked.
//
// Source: encoding.md sections 1-7 and 9. There is no Jinja template for this model; this is the template.
#pragma once

#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "encoding/chat_message.h"
#include "encoding/chat_profile.h"
#include "encoding/tokenizer.h"

namespace ft::encoding {

struct ChatOptions {
  bool thinking = false;              // mode "thinking", else "chat"
  bool drop_thinking = true;          // leave out reasoning before the last user message (unless tools)
  bool add_default_bos_token = true;  // only without context
  std::optional<std::string> reasoning_effort;  // a level of the profile; looked at if there is a message
  std::vector<ChatMessage> context;  // messages encoded earlier: they influence rules, and are not rendered
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

// Whether the mode with this name, "chat" or "thinking", is the latter. kAssertionError for any other name.
EncodingResult<bool> is_thinking_mode(std::string_view name);

// Renders the messages. Text goes in byte for byte. Errors name the field: kAssertionError for an effort that
// the profile lacks ("reasoning_effort"), an unknown task or a developer message without content,
// kNotImplementedError for a role without a form, kTooLong.
EncodingResult<Prompt> encode_chat(std::span<const ChatMessage> messages, const ChatOptions& options);

// Whether the tokenizer has every control token that a chat needs (BOS, EOS, <｜User｜>, <｜Assistant｜>,
// <think>, </think>, ｜DSML｜) as one token; kInvalidFile naming the first that it lacks.
EncodingResult<void> check_chat_tokens(const Tokenizer& tokenizer);

}  // namespace ft::encoding
