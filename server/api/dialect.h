// The APIs in which this server generates: one table. A new one adds a row here and its own files.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "encoding/ordered_json.h"
#include "server/api/request_fields.h"
#include "server/api/request_params.h"
#include "server/api/response_store.h"
#include "server/generation/generation_job.h"
#include "server/generation/served_model.h"
#include "server/http/api_error.h"
#include "server/http/http_message.h"

namespace ft::server {

// A request for a dialect. Everything outlives the job, the model because the reply keeps it.
struct ApiCall {
  const HttpRequest& request;
  const encoding::Json& body;  // an object
  const ServedModel& model;
  const RequestDefaults& defaults;
  ResponseStore* responses = nullptr;  // null: no replies are kept
};

struct Dialect {
  std::string_view name;                 // "OpenAI chat completions"
  std::string_view path;                 // below "/v1"
  std::span<const RequestField> fields;  // of a body; checked before it is parsed
  ApiResult<GenerationJob> (*parse)(const ApiCall& call);
  // The body of a refusal.
  std::string (*error)(const ApiError& error, std::string_view request_id);
  // Bodies of GET /v1/models and of one model in it.
  encoding::Json (*models)(const ServedModel& model);
  encoding::Json (*model)(const ServedModel& model, const std::string& name);
  std::string_view count_path = "";  // below "/v1"; "" where there is none
  ApiResult<encoding::Json> (*count)(const ApiCall& call) =
      nullptr;                        // the body of a reply: a prompt's tokens
  std::string_view id_header = "";    // of responses, with the request's id, besides x-request-id
  std::string_view sent_header = "";  // by its clients only, in lower case
};

std::span<const Dialect> dialects();

// The API of `request`: whose path its own is or lies below, else whose clients send a header that it has, else
// the first. It says how errors and models look.
const Dialect& dialect_of(const HttpRequest& request);

}  // namespace ft::server
