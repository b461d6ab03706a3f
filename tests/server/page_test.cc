#include <gtest/gtest.h>

#include "server/options.h"
#include "server/page/embedded_page.h"
#include "server/page/page_response.h"
#include "server/service.h"
#include "tests/server/ask.h"

namespace ft::server {
namespace {

HttpRequest get(std::vector<Header> headers = {}) {
  HttpRequest request;
  request.method = "GET";
  request.target = "/";
  request.headers = std::move(headers);
  return request;
}

std::string header(const HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers)
    if (key == name) return value;
  return {};
}

TEST(Page, KnowsWhoTakesGzip) {
  for (const char* accept :
       {"gzip", "gzip, deflate, br, zstd", "br;q=1.0, GZIP;q=0.8", "x-gzip", " gzip ; q=0.1"})
    EXPECT_TRUE(accepts_gzip(accept)) << accept;
  for (const char* accept : {"", "br", "gzip;q=0", "gzip;q=0.000", "gzipped", "deflate, identity", ",,"})
    EXPECT_FALSE(accepts_gzip(accept)) << accept;
}

TEST(Page, IsTheSameCompressedAndPlain) {
  const HttpResponse compressed = page_response(get({{"accept-encoding", "gzip"}}));
  const HttpResponse plain = page_response(get());
  EXPECT_EQ(header(compressed, "Content-Encoding"), "gzip");
  EXPECT_EQ(header(plain, "Content-Encoding"), "");
  EXPECT_EQ(compressed.body, kEmbeddedPage.gzip);
  EXPECT_EQ(gunzip(compressed.body), plain.body);
  EXPECT_TRUE(plain.body.starts_with("<!doctype html>"));
  EXPECT_TRUE(plain.body.ends_with("</html>\n"));
  EXPECT_LT(compressed.body.size(), 400'000U);
  EXPECT_NE(header(compressed, "ETag"), header(plain, "ETag"));
  EXPECT_EQ(header(plain, "Vary"), "Accept-Encoding");
}

// Nothing but what the policy names by its hash runs, and nothing but this server is asked.
TEST(Page, HasAPolicyThatAdmitsNothingElse) {
  const std::string policy = header(page_response(get()), "Content-Security-Policy");
  for (const char* part : {"default-src 'none'", "script-src 'sha256-", "style-src 'sha256-",
                           "connect-src 'self'", "base-uri 'none'", "form-action 'none'",
                           "frame-ancestors 'none'", "require-trusted-types-for 'script'"})
    EXPECT_NE(policy.find(part), std::string::npos) << part;
  for (const char* part : {"unsafe", "http:", "https:", "*"})
    EXPECT_EQ(policy.find(part), std::string::npos) << part;
}

TEST(Page, IsNotSentTwice) {
  const std::string tag = header(page_response(get()), "ETag");
  for (const std::string& known : {tag, "W/" + tag, "\"x\", " + tag, std::string("*")}) {
    const HttpResponse again = page_response(get({{"if-none-match", known}}));
    EXPECT_EQ(again.status, 304) << known;
    EXPECT_TRUE(again.body.empty());
    EXPECT_EQ(header(again, "ETag"), tag);
  }
  EXPECT_EQ(page_response(get({{"if-none-match", "\"x\""}})).status, 200);
  const HttpResponse unchanged = page_response(get({{"if-none-match", tag}}));
  EXPECT_EQ(response_head(get(), unchanged, {}, true, true).find("Content-Length"), std::string::npos);
}

// Before a key is known and while the model loads, but not under a foreign name.
TEST(Page, IsOpenToEverybody) {
  Options options;
  options.api_keys = {"secret"};
  Service locked(options);
  const auto answered = [](Service& service, HttpRequest request) {
    return testing::ask(service, std::move(request)).status;
  };
  EXPECT_EQ(answered(locked, get({{"host", "example.org"}})), 200);
  Service local((Options()));
  EXPECT_EQ(answered(local, get({{"host", "localhost:8000"}})), 200);
  EXPECT_EQ(answered(local, get({{"host", "example.org"}})), 403);
}

}  // namespace
}  // namespace ft::server
