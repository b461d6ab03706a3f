#include "server/api/router.h"

#include <algorithm>
#include <utility>

#include "server/http/query.h"

namespace ft::server {
namespace {

struct Entry {
  std::string_view path;
  std::string_view method;
  Endpoint endpoint;
};

constexpr Entry kEntries[] = {
    {"/models", "GET", Endpoint::kModels},
    {"/health", "GET", Endpoint::kHealth},
    {"/ready", "GET", Endpoint::kHealth},
    {"/metrics", "GET", Endpoint::kMetrics},
    {"/version", "GET", Endpoint::kVersion},
    {"/tokenizer_info", "GET", Endpoint::kTokenizerInfo},
    {"/tokenize", "POST", Endpoint::kTokenize},
    {"/detokenize", "POST", Endpoint::kDetokenize},
    {"/", "GET", Endpoint::kPage},
};

Route check_method(std::string_view method, std::string_view allowed, Endpoint endpoint,
                   std::string argument) {
  if (method == "OPTIONS") return {Endpoint::kPreflight, "", nullptr};
  if (method == allowed || (method == "HEAD" && allowed == "GET"))
    return {endpoint, std::move(argument), nullptr};
  return {Endpoint::kMethodNotAllowed, allowed == "GET" ? "GET, HEAD, OPTIONS" : "POST, OPTIONS", nullptr};
}

// A reply that is kept, and what lies below it; `rest` is what follows "/responses/".
Route response_route(std::string_view method, std::string_view rest) {
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view below = rest.substr(slash);
  std::string id = percent_decode(rest.substr(0, slash));
  if (below == "/input_items") return check_method(method, "GET", Endpoint::kInputItems, std::move(id));
  if (below == "/cancel") return check_method(method, "POST", Endpoint::kCancelResponse, std::move(id));
  if (!below.empty()) return {};
  if (method == "DELETE") return {Endpoint::kDeleteResponse, std::move(id), nullptr};
  Route route = check_method(method, "GET", Endpoint::kResponse, std::move(id));
  if (route.endpoint == Endpoint::kMethodNotAllowed) route.argument += ", DELETE";
  return route;
}

}  // namespace

std::string api_path(std::string_view target) {
  std::string path;
  for (const char c : target.substr(0, target.find_first_of("?#")))
    if (c != '/' || !path.ends_with('/')) path += c;
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  for (const std::string_view prefix : {"/beta/", "/v1/"})
    if (path.starts_with(prefix)) path.erase(0, prefix.size() - 1);
  return path;
}

Route find_route(std::string_view method, std::string_view target) {
  const std::string path = api_path(target);
  for (const Entry& entry : kEntries) {
    if (path == entry.path) return check_method(method, entry.method, entry.endpoint, "");
  }
  for (const Dialect& dialect : dialects()) {
    const bool counts = !dialect.count_path.empty() && path == dialect.count_path;
    if (path != dialect.path && !counts) continue;
    Route route = check_method(method, "POST", counts ? Endpoint::kCount : Endpoint::kGenerate, "");
    route.dialect = &dialect;
    return route;
  }
  constexpr std::string_view kResponses = "/responses/";
  if (path.starts_with(kResponses))
    return response_route(method, std::string_view(path).substr(kResponses.size()));
  constexpr std::string_view kModels = "/models/";
  if (path.starts_with(kModels) && path.size() > kModels.size()) {
    return check_method(method, "GET", Endpoint::kModel, percent_decode(path.substr(kModels.size())));
  }
  return {};
}

}  // namespace ft::server
