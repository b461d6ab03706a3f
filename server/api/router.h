// Which endpoint a method and a path mean.
#pragma once

#include <string>
#include <string_view>

#include "server/api/dialect.h"

namespace ft::server {

enum class Endpoint {
  kGenerate,        // `dialect` is the API
  kCount,           // as kGenerate, only to count the prompt's tokens
  kResponse,        // a reply that is kept; `argument` is its id
  kDeleteResponse,  // as kResponse
  kInputItems,      // what it answers
  kCancelResponse,
  kModels,
  kModel,  // `argument` is the model's name
  kHealth,
  kMetrics,
  kVersion,
  kTokenizerInfo,
  kTokenize,
  kDetokenize,
  kPage,
  kPreflight,         // OPTIONS of a known path
  kNotFound,          //
  kMethodNotAllowed,  // `argument` is the value of Allow
};

struct Route {
  Endpoint endpoint = Endpoint::kNotFound;
  std::string argument;
  const Dialect* dialect = nullptr;
};

// The path of a target as the tables have it: without its query, a "/v1" or "/beta" in front, doubled slashes and
// one at the end, all of which clients make of the base URL that they are given.
std::string api_path(std::string_view target);

// `target` as it stands in the request line; HEAD is GET.
Route find_route(std::string_view method, std::string_view target);

}  // namespace ft::server
