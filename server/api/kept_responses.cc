#include "server/api/kept_responses.h"

#include <algorithm>
#include <charconv>
#include <unordered_set>
#include <utility>
#include <vector>

#include "encoding/ordered_json.h"
#include "server/http/query.h"

namespace ft::server {
namespace {

using encoding::Json;
using enum FieldEffect;

constexpr size_t kLimitMax = 100;

constexpr RequestField kInputItemsFields[] = {
    {"limit", kActs, "1 to 100, 20 without"},
    {"order", kActs, "desc, the newest item first, or asc; desc without"},
    {"after", kActs, "the id of an item: what follows it in this order"},
    {"include", kActs, "message.output_text.logprobs, reasoning.encrypted_content; others have no effect"},
};

// What a query asks for.
struct Listing {
  size_t limit = 20;
  bool ascending = false;
  std::string after;       // "": from the beginning
  bool logprobs = false;   // of text
  bool encrypted = false;  // content of reasoning
};

ApiError bad_parameter(const std::string& name, const std::string& value, std::string_view expected) {
  return bad_field(name, fmt::format("'{}' is '{}': expected {}", name, value.substr(0, 80), expected));
}

ApiResult<Listing> read_listing(std::string_view target) {
  Listing listing;
  for (const auto& [name, value] : read_query(target)) {
    if (name == "limit") {
      const char* const end = value.data() + value.size();
      const auto [rest, error] = std::from_chars(value.data(), end, listing.limit);
      if (error != std::errc() || rest != end || listing.limit < 1 || listing.limit > kLimitMax)
        return refuse(bad_parameter(name, value, fmt::format("an integer from 1 to {}", kLimitMax)));
    } else if (name == "order") {
      if (value != "asc" && value != "desc") return refuse(bad_parameter(name, value, "asc or desc"));
      listing.ascending = value == "asc";
    } else if (name == "after") {
      listing.after = value;
    } else if (name == "include" || name == "include[]") {
      listing.logprobs |= value == "message.output_text.logprobs";
      listing.encrypted |= value == "reasoning.encrypted_content";
    }
  }
  return listing;
}

// All that the model read, oldest first: the turns that the reply continues and the request's own items. A client may
// send an item again that it continues; the later one is left out, because its id would lead back to the first.
std::vector<const ResponseItem*> read_items(const ResponseHistory& history) {
  std::vector<const ResponseItem*> items;
  std::unordered_set<std::string_view> ids;
  const auto add = [&](const std::vector<ResponseItem>& from) {
    for (const ResponseItem& item : from)
      if (ids.insert(item.id).second) items.push_back(&item);
  };
  for (const auto& turn : history) {
    add(turn->input);
    if (turn != history.back()) add(turn->output);
  }
  return items;
}

Json text_part(bool of_assistant, std::string text) {
  Json part = Json::object();
  part.set("type", of_assistant ? "output_text" : "input_text");
  part.set("text", std::move(text));
  if (of_assistant) part.set("annotations", Json::array());
  return part;
}

// An item as the API's types have it: clients may leave out what a message has by default.
Json shown(const ResponseItem& item, const Listing& listing) {
  Json json = *Json::parse(item.json);
  const auto type_is = [&](std::string_view type) { return json.get("type") == Json(type); };
  if (json.get("type").is_null()) json.set("type", "message");
  if (type_is("reasoning") && !listing.encrypted)
    std::erase_if(json.as_object(), [](const auto& member) { return member.first == "encrypted_content"; });
  if (!type_is("message")) return json;
  if (!json.contains("status")) json.set("status", "completed");
  if (json.get("content").is_string()) {
    Json content = Json::array();
    content.push_back(text_part(json.get("role") == Json("assistant"), json.get("content").as_string()));
    json.set("content", std::move(content));
  }
  if (Json* content = json.find("content"); content->is_array() && !listing.logprobs)
    for (Json& part : content->as_array())
      if (part.is_object() && part.contains("logprobs")) part.set("logprobs", Json::array());
  return json;
}

ApiResult<HttpResponse> list_input(const ResponseHistory& history, const Listing& listing) {
  std::vector<const ResponseItem*> items = read_items(history);
  if (!listing.ascending) std::ranges::reverse(items);
  auto from = items.begin();
  if (!listing.after.empty()) {
    from = std::ranges::find(items, listing.after, &ResponseItem::id);
    if (from == items.end())
      return refuse(bad_parameter("after", listing.after, "the id of an item of this response"));
    ++from;
  }
  const auto end = from + std::min<std::ptrdiff_t>(items.end() - from, static_cast<int>(listing.limit));
  Json data = Json::array();
  for (auto item = from; item != end; ++item) data.push_back(shown(**item, listing));
  Json json = Json::object();
  json.set("object", "list");
  json.set("data", std::move(data));
  json.set("first_id", from == end ? Json() : Json((*from)->id));
  json.set("last_id", from == end ? Json() : Json((*(end - 1))->id));
  json.set("has_more", end != items.end());
  return json_response(json.dump());
}

ApiError not_kept(const Route& route) {
  return refusal(404,
                 fmt::format("no response with the id '{}' is kept{}", route.argument.substr(0, 80),
                             route.endpoint == Endpoint::kCancelResponse
                                 ? ": one that is being made ends when its connection is closed"
                                 : ""),
                 "response_not_found");
}

}  // namespace

std::span<const RequestField> input_items_fields() {
  return kInputItemsFields;
}

ApiResult<HttpResponse> kept_response(ResponseStore& store, const Route& route, std::string_view target) {
  const std::string& id = route.argument;
  if (route.endpoint == Endpoint::kInputItems) {
    auto listing = read_listing(target);
    if (!listing) return refuse(listing.error());
    const auto history = store.history(id);
    return history ? list_input(*history, *listing) : refuse(not_kept(route));
  }
  if (route.endpoint == Endpoint::kDeleteResponse) {
    if (!store.remove(id)) return refuse(not_kept(route));
    Json json = Json::object();
    json.set("id", id);
    json.set("object", "response");
    json.set("deleted", true);
    return json_response(json.dump());
  }
  auto kept = store.json(id);
  if (!kept) return refuse(not_kept(route));
  if (route.endpoint == Endpoint::kResponse) return json_response(std::move(*kept));
  return refuse(refusal(400, fmt::format("Cannot cancel a synchronous response: '{}' was not created with "
                                         "background, which this server does not have, and is done",
                                         id)));
}

}  // namespace ft::server
