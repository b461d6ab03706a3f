#include "server/api/router.h"

#include <gtest/gtest.h>

#include "server/http/http_message.h"
#include "server/http/query.h"

namespace ft::server {
namespace {

TEST(Router, FindsEndpoints) {
  EXPECT_EQ(find_route("POST", "/v1/chat/completions").dialect->name, "Chat completions");
  EXPECT_EQ(find_route("POST", "/completions").dialect->name, "Completions");
  EXPECT_EQ(find_route("POST", "/v1/messages?beta=true").endpoint, Endpoint::kGenerate);
  EXPECT_EQ(find_route("POST", "/v1/messages/count_tokens").endpoint, Endpoint::kCount);
  EXPECT_EQ(find_route("POST", "/v1/messages/count_tokens").dialect->name, "Messages");
  EXPECT_EQ(find_route("GET", "/v1/models/?limit=2").endpoint, Endpoint::kModels);
  EXPECT_EQ(find_route("HEAD", "/health").endpoint, Endpoint::kHealth);
  EXPECT_EQ(find_route("GET", "/v1/models/deepseek%2Fv4%20x").argument, "deepseek/v4 x");
  EXPECT_EQ(find_route("GET", "/v2/models").endpoint, Endpoint::kNotFound);
  EXPECT_EQ(find_route("GET", "/").endpoint, Endpoint::kPage);
  EXPECT_EQ(find_route("HEAD", "/?x").endpoint, Endpoint::kPage);
  EXPECT_EQ(find_route("POST", "/").endpoint, Endpoint::kMethodNotAllowed);
  EXPECT_EQ(find_route("GET", "/v1").endpoint, Endpoint::kNotFound);
  EXPECT_EQ(find_route("GET", "").endpoint, Endpoint::kNotFound);
  EXPECT_EQ(find_route("GET", "*").endpoint, Endpoint::kNotFound);
  EXPECT_EQ(find_route("DELETE", "/v1/models").argument, "GET, HEAD, OPTIONS");
}

TEST(Router, FindsWhatLiesBelowAResponse) {
  EXPECT_EQ(find_route("GET", "/v1/responses/resp_1").endpoint, Endpoint::kResponse);
  EXPECT_EQ(find_route("DELETE", "/v1/responses/resp_1").endpoint, Endpoint::kDeleteResponse);
  EXPECT_EQ(find_route("GET", "/v1/responses/resp_1/input_items?limit=1").endpoint, Endpoint::kInputItems);
  EXPECT_EQ(find_route("GET", "/responses/resp%5F1/input_items/").argument, "resp_1");
  EXPECT_EQ(find_route("POST", "/v1/responses/resp_1/cancel").endpoint, Endpoint::kCancelResponse);
  EXPECT_EQ(find_route("POST", "/v1/responses/input_tokens").endpoint, Endpoint::kCount);
  EXPECT_EQ(find_route("POST", "/v1/responses/resp_1").argument, "GET, HEAD, OPTIONS, DELETE");
  EXPECT_EQ(find_route("GET", "/v1/responses/resp_1/other").endpoint, Endpoint::kNotFound);
}

TEST(Query, IsReadInItsOrder) {
  using Query = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(read_query("/x"), Query());
  EXPECT_EQ(read_query("/x?"), Query());
  EXPECT_EQ(read_query("/x?a=1&b%5B%5D=%20y+z&&c&d==&a=#f=2"),
            (Query{{"a", "1"}, {"b[]", " y z"}, {"c", ""}, {"d", "="}, {"a", ""}}));
}

TEST(Query, DecodesPercentEscapes) {
  EXPECT_EQ(percent_decode("%41%2f%zz%4"), "A/%zz%4");
  EXPECT_EQ(percent_decode("%4"), "%4");
  EXPECT_EQ(percent_decode("x%41"), "xA");
}

TEST(HttpMessage, WritesHeads) {
  HttpRequest request;
  HttpResponse response = json_response("{}");
  const std::string whole = response_head(request, response, {{"x-request-id", "1"}}, true, true);
  EXPECT_TRUE(whole.starts_with("HTTP/1.1 200 OK\r\nDate: "));
  EXPECT_NE(
      whole.find("GMT\r\nContent-Type: application/json\r\nx-request-id: 1\r\nContent-Length: 2\r\n\r\n"),
      std::string::npos)
      << whole;
  const std::string chunked = response_head(request, response, {}, false, false);
  EXPECT_NE(chunked.find("Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"), std::string::npos);
  request.http11 = false;
  EXPECT_EQ(response_head(request, response, {}, false, false).find("chunked"), std::string::npos);
  EXPECT_NE(response_head(request, response, {}, true, true).find("Connection: keep-alive"),
            std::string::npos);
}

TEST(HttpMessage, KnowsSaneIds) {
  EXPECT_TRUE(is_sane_request_id("a-B_1.:"));
  EXPECT_FALSE(is_sane_request_id(""));
  EXPECT_FALSE(is_sane_request_id("a b"));
  EXPECT_FALSE(is_sane_request_id("a\n"));
  EXPECT_FALSE(is_sane_request_id(std::string(129, 'a')));
}

}  // namespace
}  // namespace ft::server
