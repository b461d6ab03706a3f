#include "server/http/session.h"

#include <utility>

#include "server/http/session_impl.h"

namespace ft::server {

std::shared_ptr<Connection> start_session(boost::asio::ip::tcp::socket socket, const SessionContext& context,
                                          std::function<void()> ended) {
  boost::system::error_code ignored;
  socket.set_option(boost::asio::ip::tcp::no_delay(true), ignored);  // an event is sent when it is there
  socket.non_blocking(true, ignored);
  auto session =
      std::make_shared<Session<boost::asio::ip::tcp::socket>>(std::move(socket), context, std::move(ended));
  session->start();
  return session;
}

}  // namespace ft::server
