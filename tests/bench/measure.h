// SPDX-License-Identifier: GPL-2.0-or-later
//
// Ratios, not times: two things are done in turn (A B A B …) on the same machine in the same minute, and the medians of
// both are divided. A busy machine then slows both.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace mb::bench {

// Microseconds that a function takes.
double microseconds(const std::function<void()>& action);

double median(std::vector<double> values);

// One side of a comparison: only `timed` is on the clock.
struct Side {
  std::function<void()> before = [] {};
  std::function<void()> timed;
  std::function<void()> after = [] {};
};

struct Compared {
  double ours = 0;  // medians, microseconds
  double other = 0;
  double ratio() const { return ours / other; }
};

// The first round warms up and does not count.
Compared compare(int rounds, const Side& ours, const Side& other);

// A line of the result.
struct Figure {
  std::string what;
  std::string ours;
  std::string against;
  double value = 0;  // what must not be above the limit
  double limit = 0;
  bool exact = false;  // what must be the limit

  bool holds() const { return exact ? value == limit : value <= limit; }
};

Figure timed_figure(std::string what, const std::string& against, const Compared& compared, double limit);

// Prints the table; whether all of it holds.
bool print_table(const std::vector<Figure>& figures);

}  // namespace mb::bench
