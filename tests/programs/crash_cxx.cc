// SPDX-License-Identifier: GPL-3.0-or-later
// C++ exceptions that nobody catches.
#include <stdexcept>
#include <string>

namespace shop
{
struct order_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};
struct own {
    int number;
};
} // namespace shop

extern "C" void throw_derived()
{
    throw shop::order_error("the order is gone");
}

extern "C" void throw_own()
{
    throw shop::own{3};
}

extern "C" void throw_text() noexcept
{
    throw std::invalid_argument("of no use");
}
