#include "encoding/chat_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "encoding/chat_turns.h"
#include "encoding/prompt_writer.h"

namespace ft::encoding {
namespace {

std::string_view task_token(QuickTask task) {
  switch (task) {
    case QuickTask::kAction:
      return "<｜action｜>";
    case QuickTask::kQuery:
      return "<｜query｜>";
    case QuickTask::kAuthority:
      return "<｜authority｜>";
    case QuickTask::kDomain:
      return "<｜domain｜>";
    case QuickTask::kTitle:
      return "<｜title｜>";
    case QuickTask::kReadUrl:
      return "<｜read_url｜>";
    case QuickTask::kOther:
      break;
  }
  return "";
}

// Renders turns one by one. A method that returns a bool returns false after keeping the error.
class Renderer {
 public:
  Renderer(std::span<const Turn> turns, int last_user, bool drop, const ChatOptions& options)
      : turns_(turns), last_user_(last_user), drop_(drop), options_(options) {}

  EncodingResult<Prompt> render(size_t first, bool bos) {
    if (bos) out_.format(kBosToken);
    for (size_t i = first; i < turns_.size(); ++i) {
      if (!find_effort() || !body(i) || !transition(i) || !fits()) {
        return tl::unexpected<EncodingError>(std::move(error_));
      }
    }
    return out_.take();
  }

 private:
  bool refuse(ErrorKind kind, const Turn& turn, std::string_view field, std::string_view problem) {
    std::string place = fmt::format("messages[{}].{}", turn.index, field);
    error_ = {kind, fmt::format("{} {}", place, problem), place};
    return false;
  }

  bool fits() {
    if (out_.size() <= options_.max_bytes) return true;
    error_ = {ErrorKind::kTooLong,
              fmt::format("the rendered messages are longer than {} bytes", options_.max_bytes), "messages"};
    return false;
  }

  bool find_effort() {
    if (!options_.reasoning_effort) return true;
    for (const EffortText& effort : options_.profile->efforts) {
      if (effort.level == *options_.reasoning_effort) {
        effort_text_ = effort.text;
        return true;
      }
    }
    error_ = {ErrorKind::kAssertionError,
              fmt::format("the reasoning effort \"{}\" is none of this model's", *options_.reasoning_effort),
              "reasoning_effort"};
    return false;
  }

  bool body(size_t i) {
    if (i == 0 && options_.thinking) out_.format(effort_text_);
    const Turn& turn = turns_[i];
    switch (turn.role) {
      case ChatRole::kDeveloper:
        if (turn.message().content.empty()) {
          return refuse(ErrorKind::kAssertionError, turn, "content", "of a developer is empty");
        }
        out_.format(kUserToken);
        [[fallthrough]];
      case ChatRole::kSystem:
        out_.client(turn.message().content);
        appendices(turn.message());
        return true;
      case ChatRole::kUser:
      case ChatRole::kTool:
        user(turn);
        return true;
      case ChatRole::kAssistant:
        return assistant(i);
      case ChatRole::kReminder:
        out_.format(kReminderToken);
        out_.client(turn.message().content);
        return true;
      case ChatRole::kOther:
        break;
    }
    return refuse(ErrorKind::kNotImplementedError, turn, "role", "is not one of the format's");
  }

  void appendices(const ChatMessage& message) {
    if (!message.functions.empty()) {
      out_.format("\n\n");
      out_.format(kToolsBlockHead);
      std::string_view separator;
      for (const Json& function : message.functions) {
        out_.format(separator);
        out_.client(function.dump());
        separator = "\n";
      }
      out_.format(kToolsBlockTail);
    }
    if (!message.response_format.is_null()) {
      out_.format("\n\n");
      out_.format(kResponseFormatHead);
      out_.client(message.response_format.dump());
    }
  }

  void user(const Turn& turn) {
    out_.format(kUserToken);
    std::string_view separator;
    for (const ChatMessage* block : turn.blocks) {
      const bool result = block->role == ChatRole::kTool;
      out_.format(separator);
      if (result) out_.format(kToolResultOpen);
      out_.client(block->content);
      if (result) out_.format(kToolResultClose);
      separator = "\n\n";
    }
  }

  bool assistant(size_t i) {
    const Turn& turn = turns_[i];
    const ChatMessage& message = turn.message();
    const bool after_task = i > 0 && turns_[i - 1].task().has_value();
    if (options_.thinking && !after_task && (!drop_ || static_cast<int>(i) > last_user_)) {
      if (!turn.reasoning_dropped) out_.client(message.reasoning_content);
      out_.format(kThinkCloseToken);
    }
    out_.client(message.content);
    if (!message.tool_calls.empty() && !tool_calls(message.tool_calls)) return false;
    if (!message.open_end) out_.format(kEosToken);
    return true;
  }

  bool tool_calls(const std::vector<FunctionCall>& calls) {
    out_.format("\n\n<｜DSML｜tool_calls>\n");
    std::string_view separator;
    for (const FunctionCall& call : calls) {
      out_.format(separator);
      separator = "\n";
      out_.format("<｜DSML｜invoke name=\"");
      out_.client(call.name);
      out_.format("\">\n");
      std::string_view between;
      for (const auto& [key, value] : call.arguments) {
        out_.format(between);
        parameter(key, value);
        between = "\n";
        if (!fits()) return false;
      }
      out_.format("\n</｜DSML｜invoke>");
    }
    out_.format("\n</｜DSML｜tool_calls>");
    return true;
  }

  void parameter(std::string_view key, const Json& value) {
    out_.format("<｜DSML｜parameter name=\"");
    out_.client(key);
    out_.format(value.is_string() ? "\" string=\"true\">" : "\" string=\"false\">");
    out_.client(value.is_string() ? value.as_string() : value.dump());
    out_.format("</｜DSML｜parameter>");
  }

  // What stands between this turn and the next, or opens the reply.
  bool transition(size_t i) {
    const Turn& turn = turns_[i];
    if (i + 1 < turns_.size() && turns_[i + 1].role != ChatRole::kAssistant &&
        turns_[i + 1].role != ChatRole::kReminder) {
      return true;
    }
    if (const std::optional<QuickTask> task = turn.task()) {
      const std::string_view token = task_token(*task);
      if (token.empty())
        return refuse(ErrorKind::kAssertionError, turn, "task", "is not one of the format's");
      if (*task == QuickTask::kAction) open_reply(options_.thinking);
      out_.format(token);
    } else if (turn.role == ChatRole::kUser || turn.role == ChatRole::kDeveloper) {
      open_reply(options_.thinking && (!drop_ || static_cast<int>(i) >= last_user_));
    }
    return true;
  }

  void open_reply(bool thinking) {
    out_.format(kAssistantToken);
    out_.format(thinking ? kThinkOpenToken : kThinkCloseToken);
  }

  std::span<const Turn> turns_;
  int last_user_;
  bool drop_;
  const ChatOptions& options_;
  std::string_view effort_text_;
  PromptWriter out_;
  EncodingError error_{};
};

// Tools of a user message are lost when it becomes a turn.
bool offers_tools(const Turn& turn) {
  return turn.role != ChatRole::kUser && !turn.message().functions.empty();
}

}  // namespace

EncodingResult<bool> is_thinking_mode(std::string_view name) {
  if (name == "thinking") return true;
  if (name == "chat") return false;
  return fail(ErrorKind::kAssertionError, fmt::format("thinking_mode is \"{}\", not chat or thinking", name),
              "thinking_mode");
}

// Section 2. The context and the messages are merged apart, so a user turn never grows over the border; the
// order of tool results is taken over both.
EncodingResult<Prompt> encode_chat(std::span<const ChatMessage> messages, const ChatOptions& options) {
  const std::vector<Turn> context = merge_messages(options.context);
  const std::vector<Turn> rendered = merge_messages(messages);
  std::vector<Turn> turns = context;
  turns.insert(turns.end(), rendered.begin(), rendered.end());
  sort_tool_results(turns);
  const bool bos = options.add_default_bos_token && context.empty();
  const bool drop = options.drop_thinking && std::none_of(turns.begin(), turns.end(), offers_tools);
  size_t first = context.size();
  if (options.thinking && drop) {
    turns = without_old_reasoning(turns);
    // The reference counts what to render by the context filtered on its own, whose last user differs.
    first = std::min(without_old_reasoning(context).size(), turns.size());
  }
  return Renderer(turns, last_user_index(turns), drop, options).render(first, bos);
}

EncodingResult<void> check_chat_tokens(const Tokenizer& tokenizer) {
  for (const std::string_view token :
       {kBosToken, kEosToken, kUserToken, kAssistantToken, kThinkOpenToken, kThinkCloseToken, kDsmlToken}) {
    if (!tokenizer.id_of(token)) {
      return fail(ErrorKind::kInvalidFile,
                  fmt::format("the tokenizer lacks the control token \"{}\"", token));
    }
  }
  return {};
}

}  // namespace ft::encoding
