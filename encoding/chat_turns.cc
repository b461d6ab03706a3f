#include "encoding/chat_turns.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

namespace ft::encoding {
namespace {

// Where in its message each call stands, by id.
using CallOrder = std::unordered_map<std::string_view, size_t>;

void sort_results(std::vector<const ChatMessage*>& blocks, const CallOrder& order) {
  const auto position = [&](const ChatMessage* result) -> size_t {
    const auto found = order.find(result->tool_call_id);
    return found == order.end() ? 0 : found->second;
  };
  std::vector<const ChatMessage*> results;
  for (const ChatMessage* block : blocks) {
    if (block->role == ChatRole::kTool) results.push_back(block);
  }
  std::stable_sort(results.begin(), results.end(),
                   [&](const ChatMessage* a, const ChatMessage* b) { return position(a) < position(b); });
  size_t next = 0;
  for (const ChatMessage*& block : blocks) {
    if (block->role == ChatRole::kTool) block = results[next++];
  }
}

}  // namespace

std::vector<Turn> merge_messages(std::span<const ChatMessage> messages) {
  std::vector<Turn> turns;
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    const bool tool = message.role == ChatRole::kTool, user = message.role == ChatRole::kUser;
    const bool after_user = !turns.empty() && turns.back().role == ChatRole::kUser;
    if (after_user && (tool || (user && !turns.back().task()))) {
      turns.back().blocks.push_back(&message);
      continue;
    }
    turns.push_back({.role = tool ? ChatRole::kUser : message.role, .blocks = {&message}, .index = i});
  }
  return turns;
}

void sort_tool_results(std::vector<Turn>& turns) {
  CallOrder order;
  for (Turn& turn : turns) {
    if (turn.role == ChatRole::kAssistant && !turn.message().tool_calls.empty()) {
      order.clear();
      const std::vector<FunctionCall>& calls = turn.message().tool_calls;
      for (size_t k = 0; k < calls.size(); ++k) {
        if (!calls[k].id.empty()) order[calls[k].id] = k;
      }
    } else if (turn.role == ChatRole::kUser && !order.empty()) {
      sort_results(turn.blocks, order);
    }
  }
}

int last_user_index(const std::vector<Turn>& turns) {
  for (size_t i = turns.size(); i-- > 0;) {
    if (turns[i].role == ChatRole::kUser || turns[i].role == ChatRole::kDeveloper) return static_cast<int>(i);
  }
  return -1;
}

std::vector<Turn> without_old_reasoning(const std::vector<Turn>& turns) {
  const int last_user = last_user_index(turns);
  std::vector<Turn> kept;
  for (size_t i = 0; i < turns.size(); ++i) {
    const ChatRole role = turns[i].role;
    const bool old = static_cast<int>(i) < last_user;
    if (old && (role == ChatRole::kDeveloper || role == ChatRole::kOther)) continue;
    kept.push_back(turns[i]);
    if (old && role == ChatRole::kAssistant) kept.back().reasoning_dropped = true;
  }
  return kept;
}

}  // namespace ft::encoding
