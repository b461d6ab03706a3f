// A server under abuse: runs scenarios against it, with well-behaved clients and a health probe beside them,
// and keeps what was measured and what failed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/abuse/clean_clients.h"
#include "tests/abuse/crowd.h"
#include "tests/abuse/health_probe.h"
#include "tests/abuse/process.h"

namespace ft::abuse {

struct SoakOptions {
  int seconds = 10;        // of the mix
  int connections = 1000;  // of the mix
  int clean_clients = 8;
  uint64_t seed = 1;
  std::vector<std::string> behaviours;  // of the abusers, by name; empty = all of them
  int body_mib = 8;                     // of large bodies and prompts
  int framing_mib = 100;                // of the longest framing attacks; each is also run with 1 MiB

  // What may be seen.
  double health_ms = 100;       // longest time to an answer of /health, beyond what the machine adds
  double stream_gap_ms = 1000;  // longest time between events of a clean stream beyond the solo run's
  double framing_growth_mib = 32;
  double text_growth_mib = 320;
  double mix_growth_mib = 768;  // bodies of all connections, and what is made of one of them
  double kept_percent = 20;     // resident memory afterwards, over before, without cached prefixes
};

class Soak {
 public:
  // Neither is owned. `pid` is the server's process.
  Soak(const Server& server, pid_t pid, const SoakOptions& options);

  // Learns the right answers, and brings the server's memory to where it stays in use. False when the server
  // does not even serve alone.
  bool prepare();

  // Every framing attack, alone, of 1 MiB and of the most.
  void run_framing();
  // Every large text, two at once.
  void run_texts();
  // All abusers at once.
  void run_mix();

  // One table, then one line for each thing that failed. True when nothing did.
  bool report(std::string& text) const;

 private:
  // What one attack is measured by, from begin() to end().
  struct Window {
    Memory before;
    Memory after;
    HealthProbe::Window health;
    double gap_ms = 0;
  };
  void begin();
  Window end();
  // Adds a row and checks the window against the limits.
  void judge(const std::string& name, const std::string& answers, const Window& window, double growth_mib);
  void fail(const std::string& what);
  void start_clean(int clients);
  void stop_clean(const std::string& scenario);
  // Whether the server is as it was before: memory, connections, requests.
  void check_recovered(const std::string& scenario);
  // A value of /metrics; NaN where there is none.
  double metric(const char* name) const;
  // Resident memory but for cached prefixes, which are kept on purpose and have a limit of their own.
  int64_t resident() const;

  Server server_;
  Process process_;
  SoakOptions options_;
  CleanClients clean_;
  std::unique_ptr<HealthProbe> probe_;
  Memory window_begin_;
  int64_t resident_before_ = 0;
  int descriptors_before_ = 0;
  std::vector<std::string> rows_;
  std::vector<std::string> failures_;
};

}  // namespace ft::abuse
