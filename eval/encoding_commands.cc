#include "eval/encoding_commands.h"

#include <functional>
#include <limits>
#include <memory>
#include <ostream>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "core/file.h"
#include "encoding/chat_template.h"
#include "encoding/completion_parser.h"
#include "encoding/detokenizer.h"
#include "encoding/ordered_json.h"
#include "encoding/reference_reader.h"
#include "encoding/tokenizer.h"

namespace ft::eval {
namespace {

using encoding::EncodingError;
using encoding::EncodingResult;
using encoding::ErrorKind;
using encoding::fail;
using encoding::Json;

constexpr int kBadInput = 2;
constexpr int64_t kMaxCasesBytes = int64_t{1} << 30;

Json error_of(const EncodingError& error) {
  return Json::Object{{"type", encoding::reference_name(error.kind)}, {"message", error.message}};
}

// Members that answer one case; an error means that the case itself is malformed.
using Answer = EncodingResult<Json::Object>;

int for_each_case(const std::string& path, std::ostream& out, std::ostream& err,
                  const std::function<Answer(const Json&)>& answer) {
  auto text = read_file(path, kMaxCasesBytes);
  if (!text) {
    err << text.error().message << "\n";
    return kBadInput;
  }
  std::istringstream file(std::move(*text));
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const EncodingResult<Json> value = Json::parse(line);
    const Answer members = !value                ? fail(ErrorKind::kInvalidJson, value.error().message)
                           : !value->is_object() ? fail(ErrorKind::kInvalidJson, "a case must be an object")
                           : !value->contains("id") ? fail(ErrorKind::kInvalidJson, "`id` is missing")
                                                    : answer(*value);
    if (!members) {
      err << path << ":" << number << ": " << members.error().message << "\n";
      return kBadInput;
    }
    Json result = Json::Object{{"id", value->get("id")}};
    for (const Json::Member& member : *members) result.set(member.first, member.second);
    out << result.dump() << "\n";
  }
  return 0;
}

EncodingResult<const std::string*> text_member(const Json& value, std::string_view key) {
  const Json& member = value.get(key);
  if (!member.is_string()) {
    return fail(ErrorKind::kInvalidJson, "`" + std::string(key) + "` must be a string");
  }
  return &member.as_string();
}

// A value where the reference takes any; what is not a string is refused by its printed form.
std::string as_text(const Json& value) {
  return value.is_string() ? value.as_string() : value.dump();
}

EncodingResult<encoding::ChatOptions> chat_options(const Json& value) {
  encoding::ChatOptions options;
  const Json& kwargs = value.get("kwargs");
  if (!kwargs.is_object()) return fail(ErrorKind::kInvalidJson, "`kwargs` must be an object");
  if (!kwargs.contains("thinking_mode"))
    return fail(ErrorKind::kInvalidJson, "`kwargs.thinking_mode` is missing");
  options.thinking = kwargs.get("thinking_mode") == Json("thinking");
  if (const Json* drop = kwargs.find("drop_thinking")) options.drop_thinking = drop->truthy();
  if (const Json* bos = kwargs.find("add_default_bos_token")) options.add_default_bos_token = bos->truthy();
  if (const Json* context = kwargs.find("context")) {
    EncodingResult<std::vector<encoding::ChatMessage>> read = encoding::read_chat_messages(*context);
    if (!read) return tl::unexpected<EncodingError>(std::move(read.error()));
    options.context = std::move(*read);
  }
  const Json& effort = kwargs.get("reasoning_effort");
  if (!effort.is_null()) options.reasoning_effort = as_text(effort);
  if (const Json* profile = value.find("profile")) {
    options.profile = encoding::find_profile(as_text(*profile));
    if (options.profile == nullptr)
      return fail(ErrorKind::kInvalidJson, "`profile` must be \"preview\" or \"0731\"");
  }
  return options;
}

Answer encode_case(const Json& value) {
  const EncodingResult<encoding::ChatOptions> options = chat_options(value);
  if (!options) return tl::unexpected<EncodingError>(options.error());
  Json messages = value.get("messages");
  if (value.contains("messages_raw")) {
    const EncodingResult<const std::string*> raw = text_member(value, "messages_raw");
    if (!raw) return tl::unexpected<EncodingError>(raw.error());
    EncodingResult<Json> parsed = Json::parse(**raw);
    if (!parsed) return Json::Object{{"error", error_of(parsed.error())}};
    messages = std::move(*parsed);
  } else if (!value.contains("messages")) {
    return fail(ErrorKind::kInvalidJson, "`messages` or `messages_raw` is missing");
  }
  const auto read = encoding::read_chat_messages(messages);
  if (!read) return Json::Object{{"error", error_of(read.error())}};
  if (!read->empty()) {  // without a message the reference does not look at the mode
    const auto mode = encoding::is_thinking_mode(as_text(value.get("kwargs").get("thinking_mode")));
    if (!mode) return Json::Object{{"error", error_of(mode.error())}};
  }
  const EncodingResult<encoding::Prompt> prompt = encoding::encode_chat(*read, *options);
  if (!prompt) return Json::Object{{"error", error_of(prompt.error())}};
  return Json::Object{{"prompt", prompt->text}};
}

Answer parse_case(const Json& value) {
  const EncodingResult<const std::string*> text = text_member(value, "text");
  if (!text) return tl::unexpected<EncodingError>(text.error());
  const bool thinking = value.get("thinking_mode") == Json("thinking");
  if (value.contains("strict") && !value.get("strict").truthy()) {
    return Json::Object{{"message", encoding::parse_completion(**text, {.thinking = thinking}).to_json()}};
  }
  const EncodingResult<encoding::AssistantMessage> message = encoding::read_as_reference(**text, thinking);
  if (!message) return Json::Object{{"error", error_of(message.error())}};
  return Json::Object{{"message", message->to_json()}};
}

Answer tokenize_case(const encoding::Tokenizer& tokenizer, const Json& value) {
  const EncodingResult<const std::string*> text = text_member(value, "text");
  if (!text) return tl::unexpected<EncodingError>(text.error());
  Json ids = Json::array();
  for (const encoding::TokenId id : tokenizer.encode(**text)) ids.push_back(id);
  return Json::Object{{"ids", std::move(ids)}};
}

Answer detokenize_case(const encoding::Tokenizer& tokenizer, const Json& value) {
  const Json& given = value.get("ids");
  if (!given.is_array()) return fail(ErrorKind::kInvalidJson, "`ids` must be an array");
  std::vector<encoding::TokenId> ids;
  for (const Json& element : given.as_array()) {
    const std::optional<int64_t> id = element.to_int64();
    if (!id || *id != static_cast<encoding::TokenId>(*id)) {
      return fail(ErrorKind::kInvalidJson, "`ids` must hold integers of 32 bits");
    }
    ids.push_back(static_cast<encoding::TokenId>(*id));
  }
  const EncodingResult<std::string> text = tokenizer.decode(ids);
  if (!text) return Json::Object{{"error", error_of(text.error())}};
  const EncodingResult<std::string> shown = tokenizer.decode(ids, true);
  if (!shown) return Json::Object{{"error", error_of(shown.error())}};
  encoding::Detokenizer stream(tokenizer);
  Json pieces = Json::array();
  for (const encoding::TokenId id : ids) pieces.push_back(stream.feed(id));
  return Json::Object{{"text", *text},
                      {"text_skip_special", *shown},
                      {"stream", std::move(pieces)},
                      {"stream_flush", stream.flush()}};
}

int with_tokenizer(const std::string& path, std::ostream& err,
                   const std::function<int(const encoding::Tokenizer&)>& run) {
  const auto tokenizer = encoding::load_tokenizer(path);
  if (!tokenizer) {
    err << tokenizer.error().message << "\n";
    return kBadInput;
  }
  return run(**tokenizer);
}

}  // namespace

int run_encode(const std::string& cases_path, std::ostream& out, std::ostream& err) {
  return for_each_case(cases_path, out, err, encode_case);
}

int run_parse(const std::string& cases_path, std::ostream& out, std::ostream& err) {
  return for_each_case(cases_path, out, err, parse_case);
}

int run_tokenize(const std::string& tokenizer_path, const std::string& cases_path, std::ostream& out,
                 std::ostream& err) {
  return with_tokenizer(tokenizer_path, err, [&](const encoding::Tokenizer& tokenizer) {
    return for_each_case(cases_path, out, err,
                         [&](const Json& value) { return tokenize_case(tokenizer, value); });
  });
}

int run_detokenize(const std::string& tokenizer_path, const std::string& cases_path, std::ostream& out,
                   std::ostream& err) {
  return with_tokenizer(tokenizer_path, err, [&](const encoding::Tokenizer& tokenizer) {
    return for_each_case(cases_path, out, err,
                         [&](const Json& value) { return detokenize_case(tokenizer, value); });
  });
}

}  // namespace ft::eval
