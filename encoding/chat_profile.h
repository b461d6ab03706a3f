// The strings of the DeepSeek-V4 wire format, and what differs between revisions of it.
//
// Source: encoding.md sections 7, 9 and appendices A, B.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ft::encoding {

inline constexpr std::string_view kBosToken = "<｜begin▁of▁sentence｜>";
inline constexpr std::string_view kEosToken = "<｜end▁of▁sentence｜>";
inline constexpr std::string_view kUserToken = "<｜User｜>";
inline constexpr std::string_view kAssistantToken = "<｜Assistant｜>";
inline constexpr std::string_view kReminderToken = "<｜latest_reminder｜>";
inline constexpr std::string_view kThinkOpenToken = "<think>";
inline constexpr std::string_view kThinkCloseToken = "</think>";
inline constexpr std::string_view kDsmlToken = "｜DSML｜";
// Before the prompt, between it and the suffix, and behind that, of a completion in the middle of a text.
inline constexpr std::string_view kFimBeginToken = "<｜fim▁begin｜>";
inline constexpr std::string_view kFimHoleToken = "<｜fim▁hole｜>";
inline constexpr std::string_view kFimEndToken = "<｜fim▁end｜>";
inline constexpr std::string_view kToolResultOpen = "<tool_result>";
inline constexpr std::string_view kToolResultClose = "</tool_result>";

// The tools text of a prompt around the schemas (which are joined by newlines between the two parts).
extern const std::string_view kToolsBlockHead;
extern const std::string_view kToolsBlockTail;
// Stands before a response schema.
extern const std::string_view kResponseFormatHead;

// One accepted reasoning effort and the text it puts before the first message in thinking mode ("" for none).
struct EffortText {
  std::string_view level;
  std::string_view text;
};

// A revision of the format. Everything not named here is the same in all revisions.
struct Profile {
  std::string_view name;
  std::span<const EffortText> efforts;  // any other level is an AssertionError; absent means no text
};

// V4-Pro and V4-Flash preview (April 2026): efforts high (no text), max.
extern const Profile kPreview;
// V4-Flash-0731: efforts low (no text), high (the preview's max text), max (its own text).
extern const Profile kFlash0731;

// "preview" or "0731"; null pointer for any other name.
const Profile* find_profile(std::string_view name);

// The profile that a checkpoint was trained on, which nothing in it states: the releases with a DSpark draft
// know the later efforts. A vocabulary that is not the releases' shows a model of another origin, such as the
// embedded ones, which were trained on the preview's format.
const Profile& profile_of_checkpoint(bool has_dspark, int64_t vocab_size);

}  // namespace ft::encoding
