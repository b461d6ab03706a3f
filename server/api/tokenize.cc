#include "server/api/tokenize.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "encoding/utf8.h"
#include "server/api/field_reader.h"
#include "server/api/openai_chat.h"
#include "server/api/openai_completions.h"
#include "server/api/prompt.h"
#include "server/generation/engine_error.h"

namespace ft::server {

using encoding::Json;

ApiResult<HttpResponse> tokenize(const ServedModel& model, const Json& body,
                                 const RequestDefaults& defaults) {
  FieldReader fields(body);
  const bool strings = fields.boolean("return_token_strs").value_or(false);
  const bool special = fields.boolean("add_special_tokens").value_or(true);
  const bool parse_special = fields.boolean("parse_special").value_or(false);
  const auto text = fields.text("prompt");
  const bool chat = fields.any("messages") != nullptr;
  if (fields.ok() && chat == text.has_value())
    fields.refuse("prompt", "expected either 'prompt' or 'messages'");
  if (!fields.ok()) return refuse(*fields.error());

  std::vector<int32_t> ids;
  if (chat) {
    auto request = parse_chat_request(body, defaults);
    if (!request) return refuse(request.error());
    auto prompt = chat_prompt(model, *request);
    if (!prompt) return refuse(prompt.error());
    ids = std::move(*prompt);
  } else {
    CompletionRequest request;
    request.add_special_tokens = special;
    request.parse_special = parse_special;
    auto prompt = completion_prompt(model, request, *text);
    if (!prompt) return refuse(prompt.error());
    ids = std::move(*prompt);
  }
  Json tokens = Json::array();
  Json texts = Json::array();
  for (const int32_t id : ids) {
    tokens.push_back(static_cast<int64_t>(id));
    if (strings) texts.push_back(encoding::replace_ill_formed(model.tokenizer->token_bytes(id)));
  }
  Json json = Json::object();
  json.set("count", static_cast<int64_t>(ids.size()));
  json.set("max_model_len", model.context);
  json.set("tokens", std::move(tokens));
  json.set("token_strs", strings ? std::move(texts) : Json());
  return json_response(json.dump());
}

ApiResult<HttpResponse> detokenize(const ServedModel& model, const Json& body) {
  FieldReader fields(body);
  const Json* tokens = fields.array("tokens");
  if (tokens == nullptr && fields.ok()) fields.refuse("tokens", "'tokens' is missing");
  if (!fields.ok()) return refuse(*fields.error());
  std::vector<int32_t> ids;
  for (size_t i = 0; i < tokens->size(); ++i) {
    const auto id = tokens->as_array()[i].to_int64();
    if (!id || *id < 0 || *id >= model.tokenizer->vocab_size()) {
      const std::string place = fmt::format("tokens[{}]", i);
      return refuse(bad_field(
          place, fmt::format("'{}' must be a token id below {}", place, model.tokenizer->vocab_size())));
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  auto text = model.tokenizer->decode(ids);
  if (!text) return refuse(from_encoding(text.error(), "tokens"));
  Json json = Json::object();
  json.set("prompt", std::move(*text));
  return json_response(json.dump());
}

HttpResponse tokenizer_info(const ServedModel& model) {
  const auto text_of = [&](int32_t id) {
    return Json(encoding::replace_ill_formed(model.tokenizer->token_bytes(id)));
  };
  Json json = Json::object();
  json.set("bos_token", text_of(model.bos));
  json.set("eos_token", text_of(model.eos.front()));
  json.set("pad_token", text_of(model.eos.front()));
  json.set("add_bos_token", true);
  json.set("vocab_size", static_cast<int64_t>(model.tokenizer->vocab_size()));
  json.set("model_max_length", model.context);
  json.set("chat_template", Json());
  return json_response(json.dump());
}

}  // namespace ft::server
