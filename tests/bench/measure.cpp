// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/bench/measure.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include <fmt/format.h>

namespace mb::bench {

namespace {

double now(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

// On a machine that does other things meanwhile, processor time tells more about what is done in this process.
clockid_t chosen_clock() {
  static const char* const kChosen = std::getenv("BENCH_CLOCK");
  return kChosen != nullptr && std::string_view(kChosen) == "cpu" ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
}

}  // namespace

double microseconds(const std::function<void()>& action) {
  const double start = now(chosen_clock());
  action();
  return now(chosen_clock()) - start;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

Compared compare(int rounds, const Side& ours, const Side& other) {
  const auto run = [](const Side& side) {
    side.before();
    const double took = microseconds(side.timed);
    side.after();
    return took;
  };
  std::vector<double> a;
  std::vector<double> b;
  for (int round = 0; round <= rounds; ++round) {
    const double first = run(ours);
    const double second = run(other);
    if (round == 0) continue;
    a.push_back(first);
    b.push_back(second);
  }
  return {median(a), median(b)};
}

Figure timed_figure(std::string what, const std::string& against, const Compared& compared, double limit) {
  return {std::move(what), fmt::format("{:.2f} ms", compared.ours / 1000),
          fmt::format("{} {:.2f} ms", against, compared.other / 1000), compared.ratio(), limit};
}

bool print_table(const std::vector<Figure>& figures) {
  std::size_t what = 6;
  std::size_t against = 7;
  for (const auto& figure : figures) {
    what = std::max(what, figure.what.size());
    against = std::max(against, figure.against.size());
  }
  fmt::print("{:<{}}  {:>10}  {:<{}}  {:>6}  {:>7}\n", "figure", what, "ours", "against", against, "value", "limit");
  bool all = true;
  for (const auto& figure : figures) {
    all = all && figure.holds();
    const int digits = figure.value > 0 && figure.value < 0.1 ? 3 : 2;
    fmt::print("{:<{}}  {:>10}  {:<{}}  {:>6.{}f}  {:>2} {:>4.2f}  {}\n", figure.what, what, figure.ours,
               figure.against, against, figure.value, digits, figure.exact ? "=" : "<=", figure.limit,
               figure.holds() ? "holds" : "MISSED");
  }
  std::fflush(stdout);
  return all;
}

}  // namespace mb::bench
