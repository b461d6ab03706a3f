#include "server/http/api_error.h"

namespace ft::server {
namespace {

std::string_view type_of_status(int status) {
  if (status == 401) return "authentication_error";
  if (status == 404) return "not_found_error";
  if (status == 429) return "rate_limit_error";
  if (status == 503) return "service_unavailable";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

}  // namespace

ApiError bad_field(std::string param, std::string message) {
  ApiError error;
  error.message = std::move(message);
  error.param = std::move(param);
  return error;
}

ApiError refusal(int status, std::string message, std::string code) {
  ApiError error;
  error.status = status;
  error.type = type_of_status(status);
  error.message = std::move(message);
  error.code = std::move(code);
  return error;
}

}  // namespace ft::server
