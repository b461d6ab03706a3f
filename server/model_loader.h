// From options to a model that serves: backend, checkpoint, tokenizer, engine. Part of the program, not of
// the library, because it links every backend.
#pragma once

#include <functional>
#include <string>

#include "core/error.h"
#include "server/generation/served_model.h"
#include "server/options.h"

namespace ft::ranks {
class Ranks;
}

namespace ft::server {

// Loads what `options` name into `model`, with log lines on the way; `progress` receives the share of the weights
// that is there, 0 to 1. Errors name file, tensor, key or flag; `model` then holds what was found before.
// The weights are shared by `ranks`, of which this is rank 0.
Result<void> load_model(const Options& options, ranks::Ranks& ranks,
                        const std::function<void(double)>& progress, ServedModel& model);

// A loaded model in one line, for the log.
std::string summary(const ServedModel& model);

// What --check prints, as one JSON object: what was found in the checkpoint, then what serving takes, as far as loading
// came. `options` are those that it was loaded with; `error` is why it cannot be served, "" where it can.
std::string describe_json(const ServedModel& model, const Options& options, const std::string& error);

}  // namespace ft::server
