#include "server/page/page_response.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/beast/zlib/inflate_stream.hpp>
#include <cctype>

#include "core/check.h"
#include "server/page/embedded_page.h"

namespace ft::server {
namespace {

constexpr size_t kGzipHead = 10;  // magic, method, flags, time, hints
constexpr size_t kGzipTail = 8;   // CRC and length

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

bool same_word(std::string_view a, std::string_view lower) {
  return std::equal(a.begin(), a.end(), lower.begin(), lower.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == y; });
}

// Calls `use` for each element of a list with commas, until it returns true.
template <class Use>
bool any_element(std::string_view list, Use use) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (use(trim(list.substr(0, comma)))) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

// "0", "0.0", "0.000": what a client does not take.
bool is_zero_weight(std::string_view parameters) {
  const size_t q = parameters.find("q=");
  if (q == std::string_view::npos) return false;
  const std::string_view weight = trim(parameters.substr(q + 2));
  return !weight.empty() && weight.find_first_not_of("0.") == std::string_view::npos;
}

bool has_etag(std::string_view if_none_match, std::string_view quoted) {
  return any_element(if_none_match, [&](std::string_view tag) {
    if (tag.starts_with("W/")) tag.remove_prefix(2);
    return tag == quoted || tag == "*";
  });
}

}  // namespace

bool accepts_gzip(std::string_view accept_encoding) {
  return any_element(accept_encoding, [](std::string_view element) {
    const size_t semicolon = std::min(element.find(';'), element.size());
    const std::string_view coding = trim(element.substr(0, semicolon));
    return (same_word(coding, "gzip") || same_word(coding, "x-gzip")) &&
           !is_zero_weight(element.substr(semicolon));
  });
}

std::string gunzip(std::string_view gzip) {
  FT_CHECK(gzip.size() > kGzipHead + kGzipTail && gzip[3] == 0, gzip.size());
  namespace zlib = boost::beast::zlib;
  zlib::inflate_stream inflate;
  zlib::z_params state;
  state.next_in = gzip.data() + kGzipHead;
  state.avail_in = gzip.size() - kGzipHead - kGzipTail;
  std::string out;
  std::array<char, 16384> buffer;
  boost::beast::error_code error;
  do {
    state.next_out = buffer.data();
    state.avail_out = buffer.size();
    inflate.write(state, zlib::Flush::sync, error);
    FT_CHECK(!error || error == zlib::error::end_of_stream, error.message());
    out.append(buffer.data(), buffer.size() - state.avail_out);
  } while (!error);
  return out;
}

HttpResponse page_response(const HttpRequest& request) {
  const bool compressed = accepts_gzip(request.header("accept-encoding"));
  // The two encodings are two representations, and have two tags.
  const std::string etag = fmt::format("\"{}{}\"", kEmbeddedPage.etag, compressed ? "-gzip" : "");
  HttpResponse response;
  response.headers = {{"ETag", etag},
                      {"Cache-Control", "no-cache"},
                      {"Vary", "Accept-Encoding"},
                      {"Content-Security-Policy", std::string(kEmbeddedPage.policy)},
                      {"X-Content-Type-Options", "nosniff"},
                      {"X-Frame-Options", "DENY"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cross-Origin-Opener-Policy", "same-origin"},
                      {"Cross-Origin-Resource-Policy", "same-origin"}};
  if (has_etag(request.header("if-none-match"), etag)) {
    response.status = 304;
    response.content_type.clear();
    return response;
  }
  response.content_type = "text/html; charset=utf-8";
  if (compressed) {
    response.headers.emplace_back("Content-Encoding", "gzip");
    response.body = kEmbeddedPage.gzip;
  } else {
    response.body = gunzip(kEmbeddedPage.gzip);
  }
  return response;
}

}  // namespace ft::server
