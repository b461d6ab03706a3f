// Replies of POST /v1/messages.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "server/generation/response_writer.h"

namespace ft::server {

struct AnthropicReplyHead {
  std::string id;  // "msg_..."
  std::string model;
  std::string request_id;     // for errors
  int64_t prompt_tokens = 0;  // told when a stream begins, before it is known how many were cached
  bool show_thinking = true;  // false: thinking blocks are there, and empty
};

// Events come as message_start, the blocks one after another, message_delta with the usage, and message_stop.
// A reply without any block gets an empty text, for clients that read the first one.
std::unique_ptr<ResponseWriter> anthropic_writer(AnthropicReplyHead head);

}  // namespace ft::server
