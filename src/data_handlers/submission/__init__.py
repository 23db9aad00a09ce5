"""Make and check the files that the benchmarks' servers take: `sidd` and `dnd`.

`results` finds the denoised images. `check` compares a submission with the noisy blocks: `order` finds blocks
out of order, `resemblance` measures how alike blocks are. `layout` numbers and names the blocks, `matlab`
reads MAT files, and `staging` renames a submission to its final name once it is complete.
"""
