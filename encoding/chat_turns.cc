#include "encoding/chat_turns.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

namespace ft::encoding {
namespace {

const Json kNull;
const Json kEmptyText("");

// Python's dict.get(key, ""): absent gives "", null stays null.
const Json& get_or_empty(const Json& message, std::string_view key) {
  const Json* found = message.find(key);
  return found != nullptr ? *found : kEmptyText;
}

bool has_role(const Json& message, std::string_view role) {
  const Json& value = message.get("role");
  return value.is_string() && value.as_string() == role;
}

// The id under which a call's result is looked up: its own, else its function's, else none.
EncodingResult<const Json*> call_id(const Json& call) {
  if (!call.is_object()) {
    return fail(ErrorKind::kAttributeError,
                fmt::format("a tool call is a {}, not an object", call.type_name()));
  }
  if (call.get("id").truthy()) return &call.get("id");
  const Json* function = call.find("function");
  if (function == nullptr) return &kNull;
  if (!function->is_object()) {
    return fail(ErrorKind::kAttributeError,
                fmt::format("tool_calls[].function is a {}, not an object", function->type_name()));
  }
  return &function->get("id");
}

using CallOrder = std::unordered_map<std::string, size_t>;

// Fills `order` anew from an assistant's calls.
std::optional<EncodingError> read_order(const Json& calls, CallOrder& order) {
  order.clear();
  if (!calls.is_array()) {
    return EncodingError{ErrorKind::kTypeError,
                         fmt::format("tool_calls is a {}, not an array", calls.type_name())};
  }
  for (size_t k = 0; k < calls.size(); ++k) {
    const EncodingResult<const Json*> id = call_id(calls.as_array()[k]);
    if (!id) return id.error();
    if ((*id)->is_array() || (*id)->is_object()) {
      return EncodingError{ErrorKind::kTypeError, "a tool call's id is not a text"};
    }
    if ((*id)->truthy()) order[(*id)->dump()] = k;
  }
  return std::nullopt;
}

void sort_results(std::vector<UserBlock>& blocks, const CallOrder& order) {
  const auto position = [&](const UserBlock& block) -> size_t {
    const auto found = order.find(block.tool_call_id->dump());
    return found == order.end() ? 0 : found->second;
  };
  std::vector<UserBlock> results;
  for (const UserBlock& block : blocks) {
    if (block.tool_result) results.push_back(block);
  }
  std::stable_sort(results.begin(), results.end(),
                   [&](const UserBlock& a, const UserBlock& b) { return position(a) < position(b); });
  size_t next = 0;
  for (UserBlock& block : blocks) {
    if (block.tool_result) block = results[next++];
  }
}

}  // namespace

const Json& Turn::get(std::string_view key) const {
  if (message == nullptr || (user && key != "task")) return kNull;
  return message->get(key);
}

bool Turn::is_role(std::string_view role) const {
  return user ? role == "user" : has_role(*message, role);
}

EncodingResult<std::vector<Turn>> merge_messages(const Json& messages) {
  if (!messages.is_array()) {
    return fail(ErrorKind::kTypeError, fmt::format("messages is a {}, not an array", messages.type_name()));
  }
  std::vector<Turn> turns;
  for (const Json& message : messages.as_array()) {
    if (!message.is_object()) {
      return fail(ErrorKind::kAttributeError,
                  fmt::format("messages[{}] is a {}, not an object", &message - messages.as_array().data(),
                              message.type_name()));
    }
    const bool after_user = !turns.empty() && turns.back().user;
    if (has_role(message, "tool")) {
      if (!after_user) turns.push_back({.message = nullptr, .user = true, .blocks = {}});
      turns.back().blocks.push_back(
          {true, &get_or_empty(message, "content"), &get_or_empty(message, "tool_call_id")});
    } else if (has_role(message, "user")) {
      if (!after_user || !turns.back().get("task").is_null()) {
        turns.push_back({.message = &message, .user = true, .blocks = {}});
      }
      turns.back().blocks.push_back({false, &get_or_empty(message, "content"), nullptr});
    } else {
      turns.push_back({.message = &message, .user = false, .blocks = {}});
    }
  }
  return turns;
}

std::optional<EncodingError> sort_tool_results(std::vector<Turn>& turns) {
  CallOrder order;
  for (Turn& turn : turns) {
    if (turn.is_role("assistant") && turn.get("tool_calls").truthy()) {
      if (std::optional<EncodingError> error = read_order(turn.get("tool_calls"), order)) return error;
    } else if (turn.user && !order.empty()) {
      sort_results(turn.blocks, order);
    }
  }
  return std::nullopt;
}

int last_user_index(const std::vector<Turn>& turns) {
  for (size_t i = turns.size(); i-- > 0;) {
    if (turns[i].is_role("user") || turns[i].is_role("developer")) return static_cast<int>(i);
  }
  return -1;
}

std::vector<Turn> without_old_reasoning(const std::vector<Turn>& turns) {
  const int last_user = last_user_index(turns);
  std::vector<Turn> kept;
  for (size_t i = 0; i < turns.size(); ++i) {
    const Turn& turn = turns[i];
    const auto is = [&](std::string_view role) { return turn.is_role(role); };
    if (static_cast<int>(i) >= last_user || is("user") || is("system") || is("tool") ||
        is("latest_reminder") || is("direct_search_results")) {
      kept.push_back(turn);
    } else if (is("assistant")) {
      kept.push_back(turn);
      kept.back().reasoning_dropped = true;
    }
  }
  return kept;
}

}  // namespace ft::encoding
