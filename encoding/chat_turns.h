// Messages as turns of the V4 format: tool results and user texts merged, results in call order, old
// reasoning dropped.
//
// Source: encoding.md sections 3, 4 and 5.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "encoding/error.h"
#include "encoding/ordered_json.h"

namespace ft::encoding {

// One part of a user turn. The values belong to the messages the turns were made from.
struct UserBlock {
  bool tool_result = false;
  const Json* content = nullptr;       // text of a user message, or content of a tool message
  const Json* tool_call_id = nullptr;  // of a tool result
};

// A message to be rendered.
struct Turn {
  const Json* message = nullptr;  // the source; null for a user turn that a tool message began
  bool user = false;              // merged from user and tool messages
  std::vector<UserBlock> blocks;  // of a user turn
  bool reasoning_dropped = false;

  // Member of the source that counts for this turn; a null value when absent. A user turn keeps only `task`.
  const Json& get(std::string_view key) const;
  bool is_role(std::string_view role) const;
};

// Section 3. `messages` must be an array of objects (TypeError, AttributeError) and outlive the turns.
EncodingResult<std::vector<Turn>> merge_messages(const Json& messages);

// Section 4, in place. The error, if any: AttributeError or TypeError for malformed tool calls.
std::optional<EncodingError> sort_tool_results(std::vector<Turn>& turns);

// Index of the last user or developer turn, -1 if none.
int last_user_index(const std::vector<Turn>& turns);

// Section 5: `turns` without the reasoning, and without the developer and unknown turns, before the last user
// turn.
std::vector<Turn> without_old_reasoning(const std::vector<Turn>& turns);

}  // namespace ft::encoding
