// From options to a model that serves: backend, checkpoint, tokenizer, engine. Part of the program, not of
// the library, because it links every backend.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/error.h"
#include "server/generation/served_model.h"
#include "server/options.h"

namespace ft::server {

// Loads what `options` name, with log lines on the way; `progress` receives the share of the weights that is
// there, 0 to 1. Errors name file, tensor, key or flag.
Result<std::shared_ptr<const ServedModel>> load_model(const Options& options,
                                                      const std::function<void(double)>& progress);

// What --check prints: the model, its limits and where it runs, as one JSON object. `options` are those that
// it was loaded with.
std::string describe_json(const ServedModel& model, const Options& options);

}  // namespace ft::server
