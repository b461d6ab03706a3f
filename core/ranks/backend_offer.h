// How a rank comes to its backend, in two steps: what it could make by itself, and, once all ranks have offered the
// same, the making, in which they may exchange something. So no rank waits in an exchange for one that cannot come.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/backend.h"
#include "core/error.h"

namespace ft::ranks {

struct ModelRequest;
class Ranks;

struct BackendOffer {
  std::string kind;     // what ranks must have in common: "cuda", "cpu", and what else decides their bits
  std::string because;  // why not another, where that was looked for; else ""
  // Every rank calls it at the same time. What one of them finds wrong in an exchange, all have to find wrong.
  std::function<Result<std::unique_ptr<Backend>>()> make;
};

// What this rank can compute the request on. It exchanges nothing.
using OfferBackend = std::function<Result<BackendOffer>(const ModelRequest&, const Ranks&)>;

}  // namespace ft::ranks
