// One connection: reads requests, has the service answer them, sends the responses, and notices when the
// client goes away.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>

#include "server/http/body_budget.h"
#include "server/http/http_options.h"
#include "server/http/http_service.h"
#include "server/http/text_pool.h"

namespace ft::server {

// What the listener can do to a connection. The first two may be called from any thread.
class Connection {
 public:
  virtual ~Connection() = default;
  // No further request: an idle connection closes now, a busy one after its response.
  virtual void drain() = 0;
  // A running reply is cancelled; the client gets what the cancellation leads to, briefly, and the connection
  // closes.
  virtual void abort() = 0;
  // After the threads of its executor have ended: lets go of what it waits for.
  virtual void abandon() = 0;
};

// What all sessions of a server share. Everything must outlive them.
struct SessionContext {
  const HttpOptions& options;
  HttpService& service;
  BodyBudget& bodies;
  TextPool& text;
};

// Starts a session on the socket's executor, which must be a strand. The session keeps itself alive; `ended`
// is called on the executor as its last act.
std::shared_ptr<Connection> start_session(boost::asio::ip::tcp::socket socket, const SessionContext& context,
                                          std::function<void()> ended);

}  // namespace ft::server
