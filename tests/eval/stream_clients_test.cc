#include "eval/stream_clients.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace ft::eval {
namespace {

// A server of one connection that reads the request and says what the test tells it to.
class OneReply {
 public:
  explicit OneReply(std::vector<std::string> pieces) : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    ::listen(listener_, 1);
    socklen_t size = sizeof(address);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, pieces = std::move(pieces)] {
      const int socket = ::accept(listener_, nullptr, nullptr);
      char byte = 0;
      if (::recv(socket, &byte, 1, 0) == 1) {
        for (const std::string& piece : pieces) {
          (void)::send(socket, piece.data(), piece.size(), MSG_NOSIGNAL);
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
      }
      ::close(socket);
    });
  }
  ~OneReply() {
    thread_.join();
    ::close(listener_);
  }
  OneReply(const OneReply&) = delete;
  OneReply& operator=(const OneReply&) = delete;

  uint16_t port() const { return port_; }

 private:
  int listener_;
  uint16_t port_ = 0;
  std::thread thread_;
};

// Waits for `events` of a reply in these pieces; what arrived.
Result<int64_t> read(std::vector<std::string> pieces, int64_t events) {
  OneReply server(std::move(pieces));
  std::atomic<int64_t> arrived{0};
  auto clients = StreamClients::open(server.port(), 1, [&](size_t, int64_t event, auto) {
    EXPECT_EQ(event, arrived);
    ++arrived;
  });
  if (!clients) return tl::make_unexpected(clients.error());
  if (auto sent = (*clients)->send("x"); !sent) return tl::make_unexpected(sent.error());
  if (auto came = (*clients)->wait_for(events); !came) return tl::make_unexpected(came.error());
  clients->reset();
  return arrived.load();
}

TEST(StreamClients, CountEventsHoweverTheyAreCut) {
  const std::string head = "HTTP/1.1 200 OK\r\n\r\n";
  for (const auto& pieces :
       std::vector<std::vector<std::string>>{{head + "data: 1\n\ndata: 2\n\ndata: 3\n\n"},
                                             {head, "data: 1\n", "\ndata: 2\n\n", "data: 3\n\n"},
                                             {head + "data: 1\n", "\n", "data: 2\n", "\nda", "ta: 3\n\n"}}) {
    const auto arrived = read(pieces, 3);
    ASSERT_TRUE(arrived) << arrived.error().message;
    EXPECT_EQ(*arrived, 3);
  }
}

TEST(StreamClients, TellWhatTheServerSaidInstead) {
  const auto refused = read({"HTTP/1.1 400 Bad Request\r\n\r\n{\"error\":\"no such thing\"}"}, 1);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("no such thing"), std::string::npos) << refused.error().message;
  const auto cut = read({"HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n"}, 2);
  ASSERT_FALSE(cut);
  EXPECT_NE(cut.error().message.find("ended early"), std::string::npos) << cut.error().message;
}

}  // namespace
}  // namespace ft::eval
