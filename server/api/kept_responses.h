// What can be asked of a reply of /v1/responses that is kept: to be shown, deleted, or cancelled, and what it answers.
#pragma once

#include <span>
#include <string_view>

#include "server/api/request_fields.h"
#include "server/api/response_store.h"
#include "server/api/router.h"
#include "server/http/http_message.h"

namespace ft::server {

// The parameters that the query of GET /v1/responses/ID/input_items may have.
std::span<const RequestField> input_items_fields();

// `route` is one of kResponse, kDeleteResponse, kInputItems and kCancelResponse; `target` has the query. A 404 with
// response_not_found where the reply is not kept. Cancelling is a 400: no reply is made in the background.
ApiResult<HttpResponse> kept_response(ResponseStore& store, const Route& route, std::string_view target);

}  // namespace ft::server
