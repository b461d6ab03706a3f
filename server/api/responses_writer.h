// Replies of POST /v1/responses.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/api/openai_json.h"
#include "server/api/response_store.h"
#include "server/api/responses_output.h"
#include "server/generation/response_writer.h"

namespace ft::server {

// Where a reply is kept when it is done; without a store it is not.
struct ResponsesKeeping {
  ResponseStore* store = nullptr;
  ResponseHistory history;
  std::vector<ResponseItem> input;
};

// `echo` are the members of the response that repeat the request, as JSON, each with a comma in front. Events are
// response.created, response.in_progress, the items one after another, and response.completed or
// response.incomplete; or response.failed.
std::unique_ptr<ResponseWriter> responses_writer(const ReplyHead& head, const ReplyExtras& extras,
                                                 ResponsesStyle style, std::string echo,
                                                 ResponsesKeeping keeping);

}  // namespace ft::server
