// Everything the server can be told, once, at its start.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "core/error.h"

namespace ft::server {

struct Options {
  // What is served.
  std::string model;                            // checkpoint folder; "" = the embedded nano checkpoint
  std::vector<std::string> served_model_names;  // default: the folder's name
  std::string backend = "auto";                 // auto, cpu, cuda, reference
  std::string mode = "official";                // official, exact
  int threads = 0;                              // of the CPU backend; 0 = all cores
  std::string drafter = "auto";                 // auto, dspark, mtp, ngram, none
  int tree_nodes = 6;                           // rows verified per request and step, anchor included
  std::string tree = "best-first";              // best-first, chain
  int max_sequences = 8;                        // requests decoded at the same time
  int64_t context = 0;                          // tokens of one request; 0 = what the checkpoint says
  int queue = 64;                               // requests waiting for a slot
  std::string chat_profile = "auto";            // auto, preview, 0731
  bool thinking = true;                         // mode of a chat that does not say
  int64_t default_max_tokens = 32768;           // of requests that name none

  // Where and to whom.
  std::string host = "127.0.0.1";
  int port = 8000;  // 0 = any free one
  int io_threads = 2;
  std::vector<std::string> api_keys;  // empty = everybody
  std::string cors_origin = "*";      // "" = no CORS headers

  // Limits.
  int64_t max_body_bytes = 8 << 20;
  int max_header_bytes = 16 << 10;
  int max_connections = 1024;
  int idle_seconds = 75;      // a kept connection without a request
  int request_seconds = 120;  // from a request's first byte to its last
  int write_seconds = 120;    // a client that reads nothing while bytes wait for it
  int keepalive_seconds = 5;  // silence in a stream before a comment is sent
  int drain_seconds = 30;     // running replies after a signal, before they are cancelled

  std::string log_level = "info";
  bool check = false;  // load, print what would be served, exit
};

// As one line of JSON; keys are counted, not printed.
std::string options_json(const Options& options);

// `foretoken-server chat`: the terminal client.
struct ChatOptions {
  std::string url = "http://127.0.0.1:8000";
  std::string api_key;
  std::string model;                 // "" = the server's first
  std::string system;                // system message
  std::string thinking = "default";  // on, off, default
  double temperature = -1.0;         // < 0 = the server's default
  int64_t max_tokens = 0;            // 0 = the server's default
};

// Help or version text that was asked for.
struct PrintAndExit {
  std::string text;
};

using Command = std::variant<Options, ChatOptions, PrintAndExit>;

// Reads the command line: a config file (--config FILE, `key = value` lines with the names of the flags),
// then flags over it. kInvalidArgument with one message that names the flag.
Result<Command> parse_command_line(int argc, const char* const* argv);

}  // namespace ft::server
