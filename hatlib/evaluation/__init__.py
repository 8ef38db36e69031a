"""PSNR and SSIM on data sets by the protocol of the papers, beside reported values. May import
`inference` and below."""
