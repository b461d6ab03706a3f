// GET /v1/models in OpenAI's shape, with what vLLM (root, max_model_len) and OpenRouter (context_length) add.
#pragma once

#include <string>

#include "encoding/ordered_json.h"
#include "server/generation/served_model.h"

namespace ft::server {

encoding::Json openai_models(const ServedModel& model);
// `name` is one of the served ones.
encoding::Json openai_model(const ServedModel& model, const std::string& name);

}  // namespace ft::server
