#include "server/api/openai_models.h"

#include <utility>

namespace ft::server {

using encoding::Json;

Json openai_model(const ServedModel& model, const std::string& name) {
  Json json = Json::object();
  json.set("id", name);
  json.set("object", "model");
  json.set("created", model.created);
  json.set("owned_by", "foretoken");
  json.set("root", model.path);
  json.set("max_model_len", model.context);
  json.set("context_length", model.context);
  Json drafters = Json::array();
  for (const std::string& drafter : model.drafters) drafters.push_back(drafter);
  json.set("drafters", std::move(drafters));
  return json;
}

Json openai_models(const ServedModel& model) {
  Json list = Json::array();
  for (const std::string& name : model.names) list.push_back(openai_model(model, name));
  Json json = Json::object();
  json.set("object", "list");
  json.set("data", std::move(list));
  return json;
}

}  // namespace ft::server
