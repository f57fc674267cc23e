// A lattice as an index box (slabs, rows, columns), and sums over a grid of threads.
//
// Node ids stay below 2^31 and fit 32 bits; they are widened when they index memory,
// so byte offsets may pass 2^32.

#include "formulas.cuh"

namespace scribble {

constexpr unsigned int OUTSIDE = 0xFFFFFFFFu;

struct Box {
    unsigned int slabs;
    unsigned int rows;
    unsigned int columns;
    unsigned int periodic;  // bit a: axis a closes
};

struct Site {
    unsigned int slab;
    unsigned int row;
    unsigned int column;
};

// Return the first element of this thread in a grid-stride loop.
SCRIBBLE_INLINE unsigned long long first_element()
{
    return static_cast<unsigned long long>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// Return the number of threads of the grid, the stride of a grid-stride loop.
SCRIBBLE_INLINE unsigned long long grid_stride()
{
    return static_cast<unsigned long long>(gridDim.x) * blockDim.x;
}

SCRIBBLE_INLINE unsigned long long count_nodes(const Box& box)
{
    return static_cast<unsigned long long>(box.slabs) * box.rows * box.columns;
}

SCRIBBLE_INLINE Site locate_node(const Box& box, unsigned int node)
{
    const unsigned int line = node / box.columns;
    return {line / box.rows, line % box.rows, node % box.columns};
}

// Return `index + step` on an axis, or OUTSIDE an open boundary; abs(step) <= cells.
SCRIBBLE_INLINE unsigned int shift_index(
    unsigned int index, int step, unsigned int cells, bool is_closed)
{
    const unsigned int moved = index + static_cast<unsigned int>(step);
    if (moved < cells) {
        return moved;
    }
    if (!is_closed) {
        return OUTSIDE;
    }
    return step < 0 ? moved + cells : moved - cells;
}

// Return the node at offset[0..2] from a site, or OUTSIDE an open boundary.
SCRIBBLE_INLINE unsigned int find_node(
    const Box& box, const Site& site, const int* offset)
{
    const unsigned int slab =
        shift_index(site.slab, offset[0], box.slabs, box.periodic & 1u);
    const unsigned int row =
        shift_index(site.row, offset[1], box.rows, box.periodic & 2u);
    const unsigned int column =
        shift_index(site.column, offset[2], box.columns, box.periodic & 4u);
    if (slab == OUTSIDE || row == OUTSIDE || column == OUTSIDE) {
        return OUTSIDE;
    }
    return (slab * box.rows + row) * box.columns + column;
}

// Return the sum of a value over a warp in its first thread. Every thread of the warp
// must come here.
SCRIBBLE_INLINE long long add_over_warp(long long value)
{
    for (int reach = warpSize / 2; reach > 0; reach /= 2) {
        value += __shfl_down_sync(0xFFFFFFFFu, value, reach);
    }
    return value;
}

// Add up a value over all threads: shuffles within a warp, then one 64-bit atomic.
// Integers, so the order does not matter. Every thread of the grid must come here.
SCRIBBLE_INLINE void add_to_total(long long value, unsigned long long* total)
{
    value = add_over_warp(value);
    if (threadIdx.x % warpSize == 0 && value != 0) {
        atomicAdd(total, static_cast<unsigned long long>(value));
    }
}

}  // namespace scribble
