#include "eval/load/url.h"

#include <algorithm>

namespace ft::eval {

Result<Url> parse_url(const std::string& text) {
  if (text.starts_with("https://"))
    return fail(ErrorCode::kInvalidArgument, "{}: TLS is not supported; measure behind the proxy", text);
  constexpr std::string_view kScheme = "http://";
  if (!text.starts_with(kScheme))
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is not an address like http://127.0.0.1:8000", text);
  const std::string rest = text.substr(kScheme.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  std::string authority = rest.substr(0, slash);
  Url url;
  url.base = rest.substr(slash);
  while (url.base.ends_with('/')) url.base.pop_back();
  if (url.base.empty()) url.base = "/v1";
  url.port = "80";
  // The colon behind the host, not one inside an IPv6 address.
  const size_t bracket = authority.find(']');
  const size_t colon = authority.find(':', bracket == std::string::npos ? 0 : bracket);
  if (colon != std::string::npos) {
    url.port = authority.substr(colon + 1);
    authority.resize(colon);
  }
  if (authority.starts_with('[') && authority.ends_with(']'))
    authority = authority.substr(1, authority.size() - 2);
  url.host = authority;
  const bool digits =
      !url.port.empty() && std::ranges::all_of(url.port, [](char c) { return c >= '0' && c <= '9'; });
  if (url.host.empty() || !digits)
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is not an address like http://127.0.0.1:8000", text);
  return url;
}

}  // namespace ft::eval
