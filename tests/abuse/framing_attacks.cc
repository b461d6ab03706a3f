#include "tests/abuse/framing_attacks.h"

#include <fmt/format.h>

#include <algorithm>

namespace ft::abuse {
namespace {

constexpr size_t kPieceBytes = 64 << 10;

std::string repeated(std::string_view unit) {
  std::string piece;
  while (piece.size() < kPieceBytes) piece += unit;
  return piece;
}

std::string chunked_head(const Server& server, std::string_view path) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: localhost\r\n{}Content-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n",
      path, server.key.empty() ? "" : "Authorization: Bearer " + server.key + "\r\n");
}

void add_chunked(const Server& server, std::string_view path, std::string_view where,
                 std::vector<FramingAttack>& all) {
  const std::string head = chunked_head(server, path);
  const auto add = [&](std::string_view name, std::string_view begin, std::string_view filler,
                       std::string_view end) {
    all.push_back(
        {fmt::format("{}{}", name, where), head + std::string(begin), repeated(filler), std::string(end)});
  };
  add("trailer value", "0\r\nX: ", "b", "\r\n\r\n");
  add("trailer name", "0\r\n", "b", ": x\r\n\r\n");
  add("trailer count", "0\r\n", "a: b\r\n", "\r\n");
  add("chunk extension", "5;x=", "e", "\r\nhello\r\n0\r\n\r\n");
  add("chunk-size line", "", "0", "5\r\nhello\r\n0\r\n\r\n");
  add("extensions of many chunks", "", "1;" + std::string(1000, 'e') + "\r\nx\r\n", "0\r\n\r\n");
  add("chunks of one byte", "", "1\r\nx\r\n", "0\r\n\r\n");
  add("one chunk", "fffffff\r\n", "x", "\r\n0\r\n\r\n");
}

}  // namespace

std::vector<FramingAttack> framing_attacks(const Server& server) {
  std::vector<FramingAttack> all;
  add_chunked(server, "/v1/chat/completions", "", all);
  add_chunked(server, "/x", ", unknown path", all);
  const std::string get_head = "GET /health HTTP/1.1\r\nHost: localhost\r\n";
  const auto add = [&](std::string_view name, std::string_view begin, std::string_view filler,
                       std::string_view end) {
    all.push_back({std::string(name), std::string(begin), repeated(filler), std::string(end)});
  };
  add("header value", get_head + "X: ", "v", "\r\n\r\n");
  add("header name", get_head, "n", ": x\r\n\r\n");
  add("header count", get_head, "a: b\r\n", "\r\n");
  add("folded header", get_head + "X: y\r\n", " more\r\n", "\r\n");
  add("blanks in a header", get_head + "X:", " ", "y\r\n\r\n");
  add("target", "GET /", "t", " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  add("method", "", "M", " / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  add("empty lines", "", "\r\n", "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
  add("garbage", "", std::string("\x16\x03\x01\0\xff garbage", 13), "\r\n\r\n");
  add("body behind a wrong length", post_head(server, "/v1/chat/completions", size_t{1} << 40), "{", "");
  add("body for nobody", post_head(server, "/x", 1 << 20), "{", "");
  add("requests ahead of the answers", "", get_head + "\r\n", "");
  all.back().lawful = true;
  return all;
}

net::awaitable<AttackOutcome> attack(Connection& connection, const FramingAttack& attack, size_t bytes,
                                     Time limit) {
  AttackOutcome outcome;
  const Clock::time_point end = Clock::now() + limit;
  bool taken = co_await connection.send(attack.begin, limit);
  while (taken && outcome.sent_bytes < bytes && Clock::now() < end) {
    const std::string_view piece(attack.filler.data(),
                                 std::min(attack.filler.size(), bytes - outcome.sent_bytes));
    taken = co_await connection.send(piece, end - Clock::now());
    if (taken) outcome.sent_bytes += piece.size();
  }
  if (taken) co_await connection.send(attack.end, milliseconds(1000));
  const ResponseHead head =
      co_await connection.read_head(std::max<Time>(end - Clock::now(), milliseconds(1000)));
  outcome.status = head.status;
  // What else comes is of no interest, but that it ends is.
  co_await connection.read_to_end(milliseconds(1000), end - Clock::now());
  co_return outcome;
}

const std::vector<std::string>& doubtful_requests() {
  static const std::vector<std::string> all = [] {
    const std::string second = "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const auto with = [&](std::string_view headers, std::string_view body) {
      return fmt::format("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{}\r\n{}", headers, body) +
             second;
    };
    std::vector<std::string> requests;
    for (const char* coding : {"xchunked", "gzip", "identity", "\"chunked\"", "chunked, identity",
                               "gzip, chunked", "chunked, chunked", "", "chunked;q=1",
                               "\x0b"
                               "chunked"})
      requests.push_back(with(fmt::format("Transfer-Encoding: {}\r\n", coding), "0\r\n\r\n"));
    requests.push_back(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"));
    requests.push_back(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"));
    requests.push_back(with("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"));
    requests.push_back(with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"));
    requests.push_back(with("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"));
    requests.push_back(with("Content-Length: +5\r\n", "hello"));
    requests.push_back(with("Content-Length: 99999999999999999999\r\n", "hello"));
    requests.push_back(with("Transfer-Encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n"));
    requests.push_back(with("Transfer-Encoding: chunked\r\n", "-1\r\nhello\r\n0\r\n\r\n"));
    requests.push_back(with("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n"));
    requests.push_back(with("Transfer-Encoding: chunked\r\n", "5\nhello\n0\n\n"));
    requests.push_back("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    requests.push_back("\x16\x03\x01\x02");
    requests.push_back("SSH-2.0-OpenSSH_9.2\r\n");
    requests.push_back("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    requests.push_back("GET /health\r\n");
    requests.push_back("GET /health HTTP/1.1\n\n");
    requests.push_back("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n");
    requests.push_back("GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    return requests;
  }();
  return all;
}

}  // namespace ft::abuse
