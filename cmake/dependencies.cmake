# Every third-party library, from Debian 12 packages (the list of ./foretoken); nothing is downloaded.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)  # config.json, API bodies, reports
find_package(fmt REQUIRED)
find_package(tl-expected REQUIRED)  # Result<T>
find_package(Boost 1.81 REQUIRED)  # Asio and Beast: HTTP, coroutines
find_package(spdlog REQUIRED)  # the server's log
find_package(CLI11 REQUIRED)  # flags and the config file
find_package(prometheus-cpp REQUIRED COMPONENTS core)  # /metrics
find_package(ZLIB REQUIRED)  # gzip bodies of requests
find_package(GTest REQUIRED)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece)  # tokenizer.model of the nano checkpoints
pkg_check_modules(EDITLINE REQUIRED IMPORTED_TARGET libedit)  # lines of the terminal chat
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)  # SIMD of the CPU backend
find_package(MPI QUIET COMPONENTS CXX)  # optional: several ranks by mpirun or srun
