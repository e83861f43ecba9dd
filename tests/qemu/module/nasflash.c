// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Test-only flash for QEMU: an MTD device, NAND-like or NOR-like, whose cells lie in a PCI BAR that QEMU backs with a file of
 * the host (ivshmem-plain). They survive a SIGKILL of QEMU at any instant, torn in the middle of a page if need be: what was
 * programmed is there, what sat in the guest's caches is not. Debian's kernels have no flash that does this.
 *
 *   insmod nasflash.ko phys=0x10000000 size=16777216 erasesize=131072 writesize=2048     (writesize=1: NOR-like)
 *
 * Programming only clears bits; breaking the rules of flash is counted, not hidden. Counters are the module's parameters:
 * prog_ops prog_bytes erases max_erases violations.
 */
#include <linux/io.h>
#include <linux/module.h>
#include <linux/mtd/mtd.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

static ulong phys, size = 16 << 20;
static uint erasesize = 128 << 10, writesize = 2048;
static ulong prog_ops, prog_bytes, erases, max_erases, violations;
module_param(phys, ulong, 0444);
module_param(size, ulong, 0444);
module_param(erasesize, uint, 0444);
module_param(writesize, uint, 0444);
module_param(prog_ops, ulong, 0444);
module_param(prog_bytes, ulong, 0444);
module_param(erases, ulong, 0444);
module_param(max_erases, ulong, 0444);
module_param(violations, ulong, 0444);

static u8 *cells;
static u32 *wear;
static struct mtd_info mtd;
static DEFINE_MUTEX(lock);

static int flash_read(struct mtd_info *m, loff_t from, size_t len, size_t *ret, u_char *buf)
{
	memcpy(buf, cells + from, len);
	*ret = len;
	return 0;
}

/* One page, or up to 64 bytes of NOR, at a time. */
static int flash_write(struct mtd_info *m, loff_t to, size_t len, size_t *ret, const u_char *buf)
{
	bool nand = writesize > 1;
	size_t i, done = 0;

	mutex_lock(&lock);
	while (done < len) {
		size_t chunk = min_t(size_t, nand ? writesize : 64, len - done);
		u8 *at = cells + to + done;
		bool bad = false;

		for (i = 0; i < chunk; i++) {
			u8 old = at[i], new = buf[done + i];

			if (nand ? old != 0xff : (new & ~old) != 0)
				bad = true;
			at[i] = old & new;
		}
		if (bad)
			violations++;
		prog_ops++;
		prog_bytes += chunk;
		done += chunk;
	}
	mutex_unlock(&lock);
	*ret = len;
	return 0;
}

static int flash_erase(struct mtd_info *m, struct erase_info *e)
{
	u64 at;

	mutex_lock(&lock);
	for (at = e->addr; at < e->addr + e->len; at += erasesize) {
		u32 *count = &wear[(u32)at / erasesize];

		memset(cells + at, 0xff, erasesize);
		erases++;
		if (++*count > max_erases)
			max_erases = *count;
	}
	mutex_unlock(&lock);
	return 0;
}

static int __init nasflash_init(void)
{
	cells = ioremap_wc(phys, size);
	if (!cells)
		return -ENOMEM;
	wear = vzalloc(size / erasesize * sizeof(*wear));
	if (!wear) {
		iounmap(cells);
		return -ENOMEM;
	}
	mtd.name = "nasflash";
	mtd.size = size;
	mtd.erasesize = erasesize;
	mtd.writesize = writesize;
	mtd.writebufsize = writesize > 1 ? writesize : 64;
	mtd.type = writesize > 1 ? MTD_NANDFLASH : MTD_NORFLASH;
	mtd.flags = writesize > 1 ? MTD_CAP_NANDFLASH : MTD_CAP_NORFLASH;
	mtd.owner = THIS_MODULE;
	mtd._read = flash_read;
	mtd._write = flash_write;
	mtd._erase = flash_erase;
	return mtd_device_register(&mtd, NULL, 0);
}

static void __exit nasflash_exit(void)
{
	mtd_device_unregister(&mtd);
	vfree(wear);
	iounmap(cells);
}

module_init(nasflash_init);
module_exit(nasflash_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("test-only flash whose cells are a file of the host");
