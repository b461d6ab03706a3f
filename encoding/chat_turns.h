// Messages as turns of the V4 format: tool results and user texts merged, results in call order, old
// reasoning dropped.
//
// Source: encoding.md sections 3, 4 and 5.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "encoding/chat_message.h"

namespace ft::encoding {

// A message to be rendered, or user and tool messages that become one user turn. The messages outlive it.
struct Turn {
  ChatRole role = ChatRole::kUser;
  std::vector<const ChatMessage*> blocks;  // of a user turn its user and tool messages, else the one message
  size_t index = 0;                        // of the first message, for errors
  bool reasoning_dropped = false;

  const ChatMessage& message() const { return *blocks.front(); }
  // A user turn that a tool message began has none.
  std::optional<QuickTask> task() const {
    return message().role == ChatRole::kTool ? std::nullopt : message().task;
  }
};

// Section 3.
std::vector<Turn> merge_messages(std::span<const ChatMessage> messages);

// Section 4, in place.
void sort_tool_results(std::vector<Turn>& turns);

// Index of the last user or developer turn, -1 if none.
int last_user_index(const std::vector<Turn>& turns);

// Section 5: `turns` without the reasoning, and without the developer and unknown turns, before the last user
// turn.
std::vector<Turn> without_old_reasoning(const std::vector<Turn>& turns);

}  // namespace ft::encoding
