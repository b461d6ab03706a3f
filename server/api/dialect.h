// The APIs in which this server generates: one table. A new one adds a row here and its own files.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "encoding/ordered_json.h"
#include "server/api/request_fields.h"
#include "server/api/request_params.h"
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
};

struct Dialect {
  std::string_view name;                 // "OpenAI chat completions"
  std::string_view path;                 // below "/v1"
  std::span<const RequestField> fields;  // of a body; checked before it is parsed
  ApiResult<GenerationJob> (*parse)(const ApiCall& call);
  std::string (*error)(const ApiError& error);  // the body of a refusal
};

std::span<const Dialect> dialects();

}  // namespace ft::server
